package survey

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ssmonitor/internal/testkit"
)

// TestElsewhere has rules for an address that the host does not have, beside rules
// for its own and for all.
func TestElsewhere(t *testing.T) {
	published := []string{"tcp 20000 > 172.17.0.2 :8388 local"}
	for _, test := range []struct {
		name, family string
		table        string // more of it
		rules        string
		want         []string
	}{
		{"another address", "ip", "", "ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388", published},
		{"another address of IPv6", "ip6", "", "ip6 daddr 2001:db8:7::7 udp dport 20000 dnat to fd00::2", []string{"udp 20000 > fd00::2 local"}},
		{"other addresses of a set", "ip", "", "ip daddr { 198.51.100.7, 198.51.100.8 } tcp dport 20000 dnat to 172.17.0.2:8388", published},
		{"addresses and ports of a map", "ip", "", "dnat ip to ip daddr . tcp dport map { 198.51.100.7 . 20000 : 172.17.0.2 . 8388, 192.0.2.1 . 20001 : 172.17.0.2 . 8388 }",
			published},
		{"a map of services", "ip", "chain service {\nmeta l4proto tcp dnat to 172.17.0.2:8388\n}", "ip daddr . meta l4proto . th dport vmap { 198.51.100.7 . tcp . 20000 : goto service }",
			published},
		{"a network of a set", "ip", "", "ip daddr { 198.51.100.0/24, 198.51.101.7 } tcp dport 20000 dnat to 172.17.0.2:8388", published},
		{"a network", "ip", "", "ip daddr 198.51.100.0/24 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"behind a jump", "ip", "chain d {\nip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388\n}", "jump d", published},
		{"by a mark", "ip", "chain d {\ntype filter hook prerouting priority mangle\nip daddr 198.51.100.7 tcp dport 20000 meta mark set 1\n}", "meta mark 1 meta l4proto tcp dnat to 172.17.0.2:8388",
			published},
		{"an address of this host", "ip", "", "ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"any address", "ip", "", "ip daddr 198.51.100.7 drop; tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"any local address", "ip", "", "ip daddr 198.51.100.7 counter; fib daddr type local tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"any address but some of this host", "ip", "", "ip daddr 198.51.100.7 counter; ip daddr != 192.0.2.0/24 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"the same for an address of this host", "ip", "",
			"ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388; ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"the same by UDP for an address of this host", "ip", "",
			"ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388; ip daddr 192.0.2.1 udp dport 20000 dnat to 172.17.0.2:8388", published},
		{"another port for an address of this host", "ip", "",
			"ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388; ip daddr 192.0.2.1 tcp dport 20001 dnat to 172.17.0.2:8388", published},
		{"fewer ports for an address of this host", "ip", "",
			"ip daddr 198.51.100.7 tcp dport 20000-20009 dnat to 172.17.0.2:8388; ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2:8388", []string{"tcp 20000-20009 > 172.17.0.2 :8388 local"}},
		{"another target for an address of this host", "ip", "",
			"ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388; ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.3:8388", published},
		{"not the address", "ip", "", "ip daddr != 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			testkit.NFT(t, nat(test.family, test.table, test.rules))
			survey, err := Read(testHost)
			if err != nil {
				t.Fatal(err)
			}
			if got := describeAll(survey.Elsewhere); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestDestinations has conditions on destinations beside others on values as long.
func TestDestinations(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, nat("ip", "", "ip saddr 198.51.100.1 accept; meta mark 7 accept; ip saddr { 198.51.100.2, 198.51.100.3 } accept; ip daddr 198.51.100.4 accept; ip daddr { 198.51.100.5, 198.51.100.6 } accept"))
	rules := read(t)
	var got []string
	for _, c := range rules.chains {
		for _, a := range c.rules {
			for _, address := range rules.destinations(c, a, unix.NFPROTO_IPV4) {
				got = append(got, address.String())
			}
		}
	}
	if want := []string{"198.51.100.4", "198.51.100.5", "198.51.100.6"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	// A set whose keys are shorter than what is looked up, which no kernel has.
	c, short := rules.chains[0], []byte{1, 2}
	rules.sets[objectID{c.table, "short"}] = &set{name: "short", isRead: true, entries: []entry{{keys: interval{short, short}}}}
	payload := &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: 1}
	if got := rules.destinations(c, rule{expressions: []any{payload, &expr.Lookup{SourceRegister: 1, SetName: "short"}}}, unix.NFPROTO_IPV4); len(got) > 0 {
		t.Errorf("got %v of a set with short keys", got)
	}
}

// TestManyDestinations has a host that translates for more addresses than are looked
// at, in rules and in a set.
func TestManyDestinations(t *testing.T) {
	testkit.NetworkNamespace(t)
	var rules, elements strings.Builder
	for i := range maxDestinations + 1 {
		fmt.Fprintf(&rules, "ip daddr 198.18.%d.%d tcp dport 80 dnat to 172.18.%d.%d; ", i/256, i%256, i/256, i%256)
		fmt.Fprintf(&elements, "198.17.%d.%d, ", i/256, i%256)
	}
	testkit.NFT(t, nat("ip", "", "ip daddr { "+elements.String()+" } tcp dport 81 dnat to 172.17.0.2; "+rules.String()))
	survey, err := Read(testHost)
	if err != nil {
		t.Fatal(err)
	}
	if got := survey.Elsewhere; len(got) != maxDestinations {
		t.Errorf("got %d translations, want %d, and none by the set", len(got), maxDestinations)
	}
}
