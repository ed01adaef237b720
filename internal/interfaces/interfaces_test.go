package interfaces_test

import (
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/interfaces"
	"ssmonitor/internal/testkit"
)

// script runs a shell script.
func script(t testing.TB, text string) {
	t.Helper()
	testkit.Require(t, "ip")
	command := exec.Command("sh", "-eu")
	command.Stdin = strings.NewReader(text)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", text, err, output)
	}
}

// TestAddresses compares with package net, which asks rtnetlink.
func TestAddresses(t *testing.T) {
	testkit.NetworkNamespace(t)
	for _, change := range []string{
		"true",
		"ip address add 192.0.2.1/24 dev lo label lo:1; ip address add 192.0.2.9 peer 198.51.100.9/32 dev lo",
		"ip address add 2001:db8::1/64 dev lo; ip link add name away type veth peer name home; ip address add 203.0.113.7/24 dev away", // which is down
		"seq 256 | sed 's|.*|address add 127.1.&.1/32 dev lo|; s/256/0/' | ip -batch -",
	} {
		script(t, change)
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
	script(t, "ip link add name fifteen-letters type veth peer name b")
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
	script(t, "for link in a b c; do ip link add name $link type veth peer name peer-$link; ip link set dev $link up; ip link set dev peer-$link up; done")
	for _, step := range []struct {
		routes string
		want   []string
	}{
		{"true", nil},
		{"ip route add default dev a; ip route add default dev a metric 9", []string{"a"}},
		{"ip route add 192.0.0.0/2 dev b; ip route add blackhole 198.51.100.0/24", []string{"a"}},
		{"ip route add 128.0.0.0/1 dev b", []string{"a", "b"}},
		{"ip -6 route add default dev c table 100", []string{"a", "b", "c"}},
		{"ip route flush table main", []string{"c"}},
		{"ip route add unreachable default; ip -6 route add unreachable default", []string{"c"}},
		{"ip -6 route flush table 100; ip route flush table main; ip route add blackhole default", nil},
		{"ip -6 route delete unreachable default; ip -6 route add default nexthop via fe80::1 dev a nexthop via fe80::2 dev b", []string{"a", "b"}},
	} {
		script(t, step.routes)
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
	script(b, "ip link add name a type veth peer name b; ip link set dev a up; ip address add 192.0.2.1/24 dev a; ip route add default dev a")
	for b.Loop() {
		if _, err := interfaces.Addresses(); err != nil {
			b.Fatal(err)
		}
		if _, err := interfaces.Uplinks(); err != nil {
			b.Fatal(err)
		}
	}
}
