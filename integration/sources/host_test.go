package sources

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesOfThisHost(t *testing.T) {
	const hosts = `127.0.0.1	localhost
127.0.1.1	server.example.org server # the installer's
::1 ip6-localhost
192.0.2.10 alias.example.net	other
192.0.2.11 elsewhere
fe80::1%eth0 link
not-an-address name
192.0.2.10
# 192.0.2.10 commented
`
	got := namesOf([]byte(hosts), []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("fe80::1")})
	want := []string{"localhost", "server.example.org", "server", "ip6-localhost", "alias.example.net", "other", "link"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestThisHostHasItsKernelName(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, err := thisHost()
	if err != nil {
		t.Fatal(err)
	}
	if len(host.Names) == 0 || host.Names[0] != name {
		t.Errorf("got the names %q, want %q first", host.Names, name)
	}
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost # x\n\n::1\tb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range namesOf(data, nil) {
			if name == "" {
				t.Fatal("a name is empty")
			}
		}
	})
}
