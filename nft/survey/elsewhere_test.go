package survey

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// TestElsewhere has rules for an address that the host does not have, beside rules
// for its own and for all.
func TestElsewhere(t *testing.T) {
	another := []Translation{{Protocol: accounting.TCP, Ports: PortRange{20000, 20000}, Target: netip.MustParseAddrPort("172.17.0.2:8388"), LocalOnly: true}}
	for _, test := range []struct {
		name, family, rules string
		want                []Translation
	}{
		{"another address", "ip", "ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388", another},
		{"one of some addresses", "ip", "ip daddr { 198.51.100.7, 198.51.100.8 } tcp dport 20000 dnat to 172.17.0.2:8388", another},
		{"one address beside a network", "ip", "ip daddr { 198.51.100.7, 10.0.0.0/8 } tcp dport 20000 dnat to 172.17.0.2:8388", another},
		{"a map of addresses and ports", "ip", "dnat ip addr . port to ip daddr . tcp dport map { 198.51.100.7 . 20000 : 172.17.0.2 . 8388 }", another},
		{"a map of services", "ip", "ip daddr . meta l4proto . th dport vmap { 198.51.100.7 . tcp . 20000 : goto service }\n}\nchain service {\nmeta l4proto tcp dnat to 172.17.0.2:8388", another},
		{"a network", "ip", "ip daddr { 198.51.100.0/24, 10.0.0.0/8 } tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"another address of IPv6", "ip6", "ip6 daddr 2001:db8:7::7 udp dport 20000 dnat to fd00::2", []Translation{{
			Protocol: accounting.UDP, Ports: PortRange{20000, 20000}, Target: netip.MustParseAddrPort("[fd00::2]:0"), LocalOnly: true,
		}}},
		{"an address of this host", "ip", "ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"any address", "ip", "ip daddr 198.51.100.7 drop; tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"the same for an address of this host", "ip",
			"ip daddr 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388; ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
		{"not the address", "ip", "ip daddr != 198.51.100.7 tcp dport 20000 dnat to 172.17.0.2:8388", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			testkit.NFT(t, "table "+test.family+" nat {\nchain c {\ntype nat hook prerouting priority dstnat\n"+test.rules+"\n}\n}")
			survey, err := Read(testHost)
			if err != nil {
				t.Fatal(err)
			}
			options := []cmp.Option{cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Translation{}, "Place")}
			if diff := cmp.Diff(test.want, survey.Elsewhere, options...); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
