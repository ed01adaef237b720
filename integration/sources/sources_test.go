package sources_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
)

const both = accounting.TCPAndUDP

func noAddresses() ([]netip.Addr, error) { return nil, nil }

func TestLoadTakesTheUnion(t *testing.T) {
	dir := t.TempDir()
	list := write(t, dir, "ports", "20000/tcp=from the list\n20001=bob\n")
	single := write(t, dir, "single.json", `{"server_port": 20000, "mode": "udp_only", "remarks": "from a file"}`)
	write(t, dir, "many/a.json", `{"servers": [{"port": 20001, "remarks": "robert"}, {"port": 20002, "remarks": "carol"}]}`)
	write(t, dir, "many/client.json", `{"server": "203.0.113.7", "server_port": 9, "local_port": 1080}`)
	write(t, dir, "root/etc/shadowsocks.json", `{"server_port": 20003}`)
	follower := sources.Follow(sources.Sources{
		Ports:         []accounting.Port{{Number: 20000, Protocols: accounting.OnlyTCP, Name: "alice"}},
		List:          list,
		Shadowsocks:   []string{single, filepath.Join(dir, "many")},
		SearchRoot:    filepath.Join(dir, "root"),
		HostAddresses: noAddresses,
	})
	result, err := follower.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := accounting.Ports{
		{Number: 20000, Protocols: both, Name: "alice"},
		{Number: 20001, Protocols: both, Name: "bob"},
		{Number: 20002, Protocols: both, Name: "carol"},
		{Number: 20003, Protocols: both},
	}
	if diff := cmp.Diff(want, result.Ports); diff != "" {
		t.Error(diff)
	}
	if len(result.Configs) != 3 {
		t.Errorf("%d configurations, want 3", len(result.Configs))
	}
	if len(result.Notes) != 2 || !errors.Is(result.Notes[0], shadowsocks.ErrClient) ||
		!strings.Contains(result.Notes[1].Error(), `port 20001 has two names, "bob" and "robert"`) {
		t.Errorf("notes: %v", result.Notes)
	}
}

func TestNamingAPortOfAFileLeavesItsProtocols(t *testing.T) {
	file := write(t, t.TempDir(), "single.json", `{"server_port": 20000, "mode": "tcp_only"}`)
	for spec, want := range map[string]accounting.Port{
		"20000=alice":     {Number: 20000, Protocols: accounting.OnlyTCP, Name: "alice"},
		"20000/udp=alice": {Number: 20000, Protocols: both, Name: "alice"},
		"20000":           {Number: 20000, Protocols: both},
	} {
		named, err := portlist.ParseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		result, err := sources.Follow(sources.Sources{
			Ports: named, Shadowsocks: []string{file}, HostAddresses: noAddresses,
		}).Load()
		if err != nil || len(result.Ports) != 1 || result.Ports[0] != want {
			t.Errorf("%s: %v, %v, want %v", spec, result.Ports, err, want)
		}
	}
}

func TestLoadNotesTwoExplicitNames(t *testing.T) {
	follower := sources.Follow(sources.Sources{Ports: []accounting.Port{
		{Number: 1, Protocols: both, Name: "a"}, {Number: 1, Protocols: both, Name: "b"},
	}})
	result, err := follower.Load()
	if err != nil || len(result.Notes) != 1 {
		t.Errorf("notes: %v, %v", result.Notes, err)
	}
	if follower.Changed() {
		t.Error("ports of the command line changed")
	}
}

func TestLoadTellsOfEveryFailure(t *testing.T) {
	dir := t.TempDir()
	list := write(t, dir, "ports", "80a\n")
	broken := write(t, dir, "broken.json", "{")
	client := write(t, dir, "client.json", `{"locals": [1]}`)
	follower := sources.Follow(sources.Sources{
		List: list, Shadowsocks: []string{broken, client, dir + "/missing"}, HostAddresses: noAddresses,
	})
	result, err := follower.Load()
	if result.Ports != nil || !errors.Is(err, shadowsocks.ErrClient) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load() = %v, %v", result.Ports, err)
	}
	if _, ok := errors.AsType[*portlist.SpecError](err); !ok {
		t.Errorf("the broken list is not in: %v", err)
	}
	if errors.Is(err, sources.ErrNoList) {
		t.Errorf("the missing configuration was taken for the list: %v", err)
	}
}

func TestLoadTellsThatTheListIsMissing(t *testing.T) {
	named := []accounting.Port{{Number: 20000, Protocols: both}}
	result, err := sources.Follow(sources.Sources{Ports: named, List: filepath.Join(t.TempDir(), "ports")}).Load()
	if !errors.Is(err, sources.ErrNoList) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load() = %v", err)
	}
	if !slices.Equal(result.Ports, named) {
		t.Errorf("the other sources give %v", result.Ports)
	}
}

func TestLoadFailsWithoutTheHostsAddresses(t *testing.T) {
	unknown := errors.New("unknown")
	follower := sources.Follow(sources.Sources{
		Shadowsocks:   []string{t.TempDir()},
		HostAddresses: func() ([]netip.Addr, error) { return nil, unknown },
	})
	if _, err := follower.Load(); !errors.Is(err, unknown) {
		t.Errorf("Load() = %v", err)
	}
}

// step is one event in the life of a source: what happens, whether that shows
// as a change, and what Load says then.
type step struct {
	what   string
	do     func()
	ports  int
	broken bool
}

func follow(t *testing.T, follower *sources.Follower, steps []step) {
	t.Helper()
	for i, step := range steps {
		step.do()
		if i > 0 && !follower.Changed() {
			t.Fatalf("%s: nothing has changed", step.what)
		}
		result, err := follower.Load()
		if broken := err != nil; broken != step.broken {
			t.Fatalf("%s: %v, want an error: %v", step.what, err, step.broken)
		}
		if len(result.Ports) != step.ports {
			t.Fatalf("%s: %v, want %d ports", step.what, result.Ports, step.ports)
		}
		if follower.Changed() {
			t.Fatalf("%s: changed again after Load", step.what)
		}
	}
}

func TestFollowTheListOfPorts(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "ports")
	follow(t, sources.Follow(sources.Sources{List: list}), []step{
		{"not written yet", func() {}, 0, true},
		{"written", func() { write(t, dir, "ports", "1\n2\n") }, 2, false},
		{"broken", func() { write(t, dir, "ports", "1\n2x\n") }, 0, true},
		{"mended", func() { write(t, dir, "ports", "1\n2\n3\n") }, 3, false},
		{"replaced", func() {
			if err := portlist.Write(list, []accounting.Port{{Number: 4, Protocols: both}}); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"touched", func() {
			if err := os.Chtimes(list, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"written twice at once", func() {
			write(t, dir, "ports", "1\n")
			write(t, dir, "ports", "2\n3\n")
		}, 2, false},
		{"removed", func() { remove(t, list) }, 0, true},
	})
}

func TestFollowADirectoryOfConfigurations(t *testing.T) {
	dir := t.TempDir()
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{dir}, HostAddresses: noAddresses})
	follow(t, follower, []step{
		{"empty", func() {}, 0, true},
		{"a file added", func() { write(t, dir, "a.json", `{"server_port": 1}`) }, 1, false},
		{"another added", func() { write(t, dir, ".shadowsocks_2.conf", `{"server_port": 2}`) }, 2, false},
		{"one written in place", func() { write(t, dir, "a.json", `{"server_port": [1, 3, 4]}`) }, 4, false},
		{"one broken in place", func() { write(t, dir, "a.json", `{`) }, 0, true},
		{"one mended in place", func() { write(t, dir, "a.json", `{"server_port": 1}`) }, 2, false},
		{"one removed", func() { remove(t, filepath.Join(dir, "a.json")) }, 1, false},
	})
}

// Files are read at the moment of a change, and changed again before the
// kernel's clock for files goes on: their attributes stay the same.
func TestFollowSeesTheSecondOfTwoChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "ports", "1\n")
	follower := sources.Follow(sources.Sources{List: filepath.Join(dir, "ports")})
	for i := range 1000 {
		content := []string{"1\n", "2\n"}[i%2]
		write(t, dir, "ports", content)
		if i > 0 && !follower.Changed() {
			t.Fatalf("change %d was not seen", i)
		}
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFollowALinkedConfiguration(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(write(t, dir, "a.json", `{"server_port": 1}`), link); err != nil {
		t.Fatal(err)
	}
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{link}, HostAddresses: noAddresses})
	follow(t, follower, []step{
		{"linked", func() {}, 1, false},
		{"linked elsewhere", func() {
			remove(t, link)
			if err := os.Symlink(write(t, dir, "b.json", `{"server_port": [1, 2]}`), link); err != nil {
				t.Fatal(err)
			}
		}, 2, false},
		{"dangling", func() { remove(t, filepath.Join(dir, "b.json")) }, 0, true},
	})
}

func TestHostAddressesHasLoopback(t *testing.T) {
	addresses, err := sources.HostAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if address.IsLoopback() {
			return
		}
	}
	t.Skipf("no loopback address here: %v", addresses)
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
