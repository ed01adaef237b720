package interfaces_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/interfaces"
	"ssmonitor/internal/testkit"
)

// ip runs commands of ip(8), which are separated by semicolons. There is no shell,
// since busybox's has an ip of its own.
func ip(t testing.TB, commands string) {
	t.Helper()
	testkit.Require(t, "ip")
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.ReplaceAll(commands, "; ", "\n"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, output)
	}
}

// TestAddresses compares with package net, which asks rtnetlink.
func TestAddresses(t *testing.T) {
	testkit.NetworkNamespace(t)
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("address add 127.1.%d.1/32 dev lo", i))
	}
	for _, change := range []string{
		"",
		"address add 192.0.2.1/24 dev lo label lo:1; address add 192.0.2.9 peer 198.51.100.9/32 dev lo",
		"address add 2001:db8::1/64 dev lo; link add name away type veth peer name home; address add 203.0.113.7/24 dev away", // which is down
		strings.Join(many, "; "),
	} {
		ip(t, change)
		networks, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		var want []netip.Addr
		for _, network := range networks {
			want = append(want, netip.MustParsePrefix(network.String()).Addr())
		}
		got, err := interfaces.Addresses()
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(want, netip.Addr.Compare)
		slices.SortFunc(got, netip.Addr.Compare)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", change, got, want)
		}
	}
}

func TestName(t *testing.T) {
	testkit.NetworkNamespace(t)
	ip(t, "link add name fifteen-letters type veth peer name b")
	links, err := net.Interfaces()
	if err != nil || len(links) < 2 {
		t.Fatalf("got %v, %v", links, err)
	}
	for _, link := range links {
		if name, err := interfaces.Name(uint32(link.Index)); err != nil || name != link.Name {
			t.Errorf("interface %d: got %q, %v, want %q", link.Index, name, err, link.Name)
		}
	}
	if name, err := interfaces.Name(1 << 30); err == nil || !strings.Contains(err.Error(), "1073741824") {
		t.Errorf("got %q, %v for an interface that is missing", name, err)
	}
}

func TestUplinks(t *testing.T) {
	testkit.NetworkNamespace(t)
	for _, name := range []string{"a", "b", "c"} {
		ip(t, fmt.Sprintf("link add name %[1]s type veth peer name peer-%[1]s; link set dev %[1]s up; link set dev peer-%[1]s up", name))
	}
	for _, step := range []struct {
		routes string
		want   []string
	}{
		{"", nil},
		{"route add default dev a; route add default dev a metric 9", []string{"a"}},
		{"route add 192.0.0.0/2 dev b; route add blackhole 198.51.100.0/24", []string{"a"}},
		{"route add 128.0.0.0/1 dev b", []string{"a", "b"}},
		{"route add ::/0 dev c table 100", []string{"a", "b", "c"}},
		{"route delete default metric 9; route delete default; route delete 128.0.0.0/1", []string{"c"}},
		{"route add unreachable default; route add unreachable ::/0", []string{"c"}},
		{"route delete ::/0 table 100; route delete unreachable default; route add blackhole default", nil},
		{"route delete unreachable ::/0; route add ::/0 nexthop via fe80::1 dev a nexthop via fe80::2 dev b", []string{"a", "b"}},
	} {
		ip(t, step.routes)
		got, err := interfaces.Uplinks()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Sort(got); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %q, want %q", step.routes, got, step.want)
		}
	}
}

// BenchmarkLook is what the agent does at each tick.
func BenchmarkLook(b *testing.B) {
	testkit.NetworkNamespace(b)
	ip(b, "link add name a type veth peer name b; link set dev a up; address add 192.0.2.1/24 dev a; route add default dev a")
	for b.Loop() {
		if _, err := interfaces.Addresses(); err != nil {
			b.Fatal(err)
		}
		if _, err := interfaces.Uplinks(); err != nil {
			b.Fatal(err)
		}
	}
}
