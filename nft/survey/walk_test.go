package survey

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// TestTranslations has rules of a chain of type nat at prerouting, in family ip
// unless the row names another, and more chains and sets before it.
func TestTranslations(t *testing.T) {
	for _, test := range []struct {
		name   string
		family string
		table  string // more of the table
		rules  string
		want   []string
	}{
		// What a rule asks of the port and the protocol.
		{"port", "", "", `tcp dport 20000 dnat to 172.17.0.2:8388`, []string{"tcp 20000 > 172.17.0.2 :8388"}},
		{"port of IPv6", "ip6", "", `tcp dport 20000 dnat to [fd00::2]:8388`, []string{"tcp 20000 > fd00::2 :8388"}},
		{"port of both families", "inet", "", `udp dport 20000 dnat ip to 172.17.0.2; udp dport 20000 dnat ip6 to fd00::2`,
			[]string{"udp 20000 > 172.17.0.2", "udp 20000 > fd00::2"}},
		{"address of one family", "inet", "", `ip daddr 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2 local"}},
		{"set of ports", "", "", `udp dport { 20000, 21000-21005, 65000-65535 } dnat to 172.17.0.2`,
			[]string{"udp 20000 > 172.17.0.2", "udp 21000-21005 > 172.17.0.2", "udp 65000-65535 > 172.17.0.2"}},
		{"every port of a set", "", "", `tcp dport { 0-65535 } dnat to 172.17.0.2`, []string{"tcp 1-65535 > 172.17.0.2"}},
		{"named set", "", "set p {\ntype inet_service\nflags interval\nelements = { 100-200, 201-300, 5 }\n}", `tcp dport @p dnat to 172.17.0.2`,
			[]string{"tcp 5 > 172.17.0.2", "tcp 100-300 > 172.17.0.2"}},
		{"set of protocols", "", "", `meta l4proto { tcp, udp } th dport { 20000, 20002 } dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20002 > 172.17.0.2", "udp 20000 > 172.17.0.2", "udp 20002 > 172.17.0.2"}},
		{"protocol of the header", "", "", `ip protocol tcp th dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"next header", "ip6", "", `ip6 nexthdr udp th dport 20000 dnat to fd00::2`, []string{"udp 20000 > fd00::2"}},
		{"comparisons", "", "", `tcp dport > 20000 tcp dport < 20005 tcp dport != 20002 dnat to 172.17.0.2`,
			[]string{"tcp 20001 > 172.17.0.2", "tcp 20003-20004 > 172.17.0.2"}},
		{"range", "", "", `tcp dport 20000-20002 dnat to 172.17.0.2`, []string{"tcp 20000-20002 > 172.17.0.2"}},
		{"not in a range", "", "", `tcp dport != 10-65530 dnat to 172.17.0.2`, []string{"tcp 1-9 > 172.17.0.2", "tcp 65531-65535 > 172.17.0.2"}},
		{"mask", "", "", `tcp dport & 0xfffe == 20000 dnat to 172.17.0.2`, []string{"tcp 20000-20001 > 172.17.0.2"}},
		{"not a port", "", "", `tcp dport != 22 dnat to 172.17.0.2`, []string{"tcp 1-21 > 172.17.0.2", "tcp 23-65535 > 172.17.0.2"}},
		{"not in a set", "", "", `tcp dport != { 22, 80 } dnat to 172.17.0.2`,
			[]string{"tcp 1-21 > 172.17.0.2", "tcp 23-79 > 172.17.0.2", "tcp 81-65535 > 172.17.0.2"}},
		{"DMZ host", "", "", `iifname "eth0" dnat to 172.17.0.2`, both("1-65535 > 172.17.0.2 in eth0")},
		{"accept some, translate the rest", "", "", `tcp dport 22 accept; udp dport 53 accept; dnat to 172.17.0.2`, []string{
			"tcp 1-21 > 172.17.0.2", "tcp 23-65535 > 172.17.0.2", "udp 1-52 > 172.17.0.2", "udp 54-65535 > 172.17.0.2"}},
		{"both ports at once", "", "", `tcp sport 5 tcp dport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},
		{"a port twice", "", "", `tcp dport . th dport { 20000-20010 . 20005 } dnat to 172.17.0.2`, []string{"tcp 20005 > 172.17.0.2"}},
		{"half a port", "", "", `tcp dport > 65530 @th,24,8 0xff dnat to 172.17.0.2`, []string{"tcp 65535 > 172.17.0.2"}},
		{"first packet", "", "", `tcp flags & (fin|syn|rst|ack) == syn ct state new tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"port of the connection", "", "", `meta l4proto tcp ct original proto-dst 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},

		// The new destination.
		{"port range", "", "", `tcp dport 20000 dnat to 172.17.0.2:8000-8100`, []string{"tcp 20000 > 172.17.0.2 :8000-8100"}},
		{"address range", "", "", `tcp dport 20000 dnat to 172.17.0.2-172.17.0.3`, []string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.3"}},
		{"one of too many", "", "", `tcp dport 20000 dnat to 172.17.0.0-172.17.1.0`, []string{"tcp 20000 ? the new address is one of too many"}},
		{"redirect", "", "", `tcp dport 20000 redirect to :8388`, []string{"tcp 20000 > :8388"}},
		{"redirect of both families", "inet", "", `tcp dport 20000 redirect to :8388-8390`, []string{"tcp 20000 > :8388-8390"}},
		{"port only", "", "", `udp dport 40000 dnat to :50000`, []string{"udp 40000 > :50000"}},
		{"port only, of both families", "inet", "", `udp dport 40000 dnat to :50000`, []string{"udp 40000 > :50000"}},
		{"own address", "", "", `tcp dport 20000 dnat to 192.0.2.1:8388`, []string{"tcp 20000 > 192.0.2.1 :8388"}},
		{"a network to another", "", "", `tcp dport 20000 dnat ip prefix to ip daddr map { 192.0.2.0/24 : 172.17.0.0/24 }`,
			[]string{"tcp 20000 ? it translates a whole network to another"}},
		{"map to addresses", "", "", `dnat to tcp dport map { 20000 : 172.17.0.2, 20001 : 172.17.0.3 }`,
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20001 > 172.17.0.3"}},
		{"map to addresses of IPv6", "ip6", "", `dnat to tcp dport map { 20000 : fd00::2 }`, []string{"tcp 20000 > fd00::2"}},
		{"map to addresses and ports", "", "", `dnat ip addr . port to tcp dport map { 20000 : 172.17.0.2 . 8388 }`, []string{"tcp 20000 > 172.17.0.2 :8388"}},
		{"map to addresses and ports, in short", "", "", `dnat to tcp dport map { 20000 : 172.17.0.2 . 8388 }`, []string{"tcp 20000 > 172.17.0.2 :8388"}},
		{"map to addresses and ports, with the family", "", "", `dnat ip to udp dport map { 20000 : 172.17.0.2 . 8388 }`, []string{"udp 20000 > 172.17.0.2 :8388"}},
		{"systemd-nspawn --port", "", "map map_port_ipport {\ntype inet_proto . inet_service : ipv4_addr . inet_service\nelements = { tcp . 20000 : 172.17.0.2 . 8388, udp . 20001 : 172.17.0.2 . 8389 }\n}",
			`fib daddr type local dnat ip addr . port to meta l4proto . th dport map @map_port_ipport`,
			[]string{"tcp 20000 > 172.17.0.2 :8388 local", "udp 20001 > 172.17.0.2 :8389 local"}},
		{"systemd-nspawn --port of IPv6", "ip6", "map map_port_ipport {\ntype inet_proto . inet_service : ipv6_addr . inet_service\nelements = { tcp . 20000 : fd00::2 . 8388 }\n}",
			`fib daddr type local dnat ip6 addr . port to meta l4proto . th dport map @map_port_ipport`,
			[]string{"tcp 20000 > fd00::2 :8388 local"}},
		{"map of intervals", "", "", `dnat to tcp dport map { 20000-20009 : 172.17.0.2, 20010-20019 : 172.17.0.3 }`,
			[]string{"tcp 20000-20009 > 172.17.0.2", "tcp 20010-20019 > 172.17.0.3"}},
		{"map of addresses to addresses", "", "", `tcp dport 20000 dnat to ip daddr map { 192.0.2.1 : 172.17.0.2, 198.51.100.1 : 172.17.0.3 }`,
			[]string{"tcp 20000 > 172.17.0.2 local"}},
		{"map of sources to addresses", "", "", `tcp dport 20000 dnat to ip saddr map { 10.0.0.1 : 172.17.0.2, 10.0.0.2 : 172.17.0.3 }`,
			[]string{"tcp 20000 > 172.17.0.2 from 10.0.0.1/32", "tcp 20000 > 172.17.0.3 from 10.0.0.2/32"}},
		{"chance", "", "", `tcp dport 20000 dnat to numgen random mod 2 map { 0 : 172.17.0.2, 1 : 172.17.0.3 }; dnat to 172.17.0.9`,
			[]string{"tcp 1-19999 > 172.17.0.9", "tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.3", "tcp 20001-65535 > 172.17.0.9",
				"udp 1-65535 > 172.17.0.9"}},
		{"random number", "", "", `tcp dport 20000 meta random < 5000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"ranges of chance", "", "", `tcp dport 20000 dnat to numgen inc mod 10 map { 0-6 : 172.17.0.2, 7-9 : 172.17.0.3 }`,
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.3"}},
		{"hash", "", "", `tcp dport 20000 dnat to jhash ip saddr mod 2 map { 0 : 172.17.0.2, 1 : 172.17.0.3 }`,
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.3"}},
		{"hash of the connection", "", "", `tcp dport 20000 dnat to symhash mod 2 map { 0 : 172.17.0.2, 1 : 172.17.0.3 }`,
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.3"}},

		// What a rule asks of the destination address.
		{"own address only", "", "", `ip daddr 192.0.2.1 tcp dport 20000 dnat ip to 172.17.0.2:8388`, []string{"tcp 20000 > 172.17.0.2 :8388 local"}},
		{"own network", "", "", `ip daddr 192.0.2.0/24 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"own network of odd length", "", "", `ip daddr 192.0.2.0/30 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"address of another", "", "", `ip daddr 192.0.2.9 tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"network of others", "", "", `ip daddr 10.0.0.0/8 tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"no address of this host", "", "", `ip daddr != 192.0.2.0/24 tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"not one address of this host", "", "", `ip daddr != 192.0.2.1 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2 but"}},
		{"one port of one address of this host returns", "", "", `ip daddr 192.0.2.1 tcp dport 443 return; tcp dport { 80, 443 } dnat to 172.17.0.9`,
			[]string{"tcp 80 > 172.17.0.9", "tcp 443 > 172.17.0.9 but"}},
		{"one port of one address of this host returns, of a range", "", "", `ip daddr 192.0.2.1 tcp dport 443 return; tcp dport 442-444 dnat to 172.17.0.9`,
			[]string{"tcp 442-444 > 172.17.0.9 but"}},
		{"one address of this host returns", "", "", `ip daddr 192.0.2.1 return; tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2 but"}},
		{"a port of one address returns", "", "", `ip daddr 192.0.2.1 tcp dport 22 return; tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"addresses that come back", "", "chain c {\ncounter\n}", `ip daddr 192.0.2.0/31 jump c; ip daddr 192.0.2.2 tcp dport 20000 dnat to 172.17.0.2; ip daddr 192.0.2.1 tcp dport 20001 dnat to 172.17.0.2`,
			[]string{"tcp 20000-20001 > 172.17.0.2 local"}},
		{"loopback address", "", "", `ip daddr 127.0.0.1 tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"own address of IPv6", "ip6", "", `ip6 daddr 2001:db8::1 tcp dport 20000 dnat to fd00::2`, []string{"tcp 20000 > fd00::2 local"}},
		{"own network of IPv6", "ip6", "", `ip6 daddr 2001:db8::/33 tcp dport 20000 dnat to fd00::2`, []string{"tcp 20000 > fd00::2"}},
		{"not one address of this host, of IPv6", "ip6", "", `ip6 daddr != 2001:db8::1 tcp dport 20000 dnat to fd00::2`, []string{"tcp 20000 > fd00::2 but"}},
		{"address of another of IPv6", "ip6", "", `ip6 daddr 2001:db8::9 tcp dport 20000 dnat to fd00::2`, nil},
		{"routing table", "", "", `fib daddr type local tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2 local"}},
		{"routing table, others", "", "", `fib daddr type != local tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"routing table by interface", "", "", `fib daddr . iif type local tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2 local"}},
		{"routing table by interface, others", "", "", `fib daddr . iif type != local tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"multicast", "", "", `meta pkttype multicast tcp dport 20000 dnat to 172.17.0.2; meta pkttype host tcp dport 20001 dnat to 172.17.0.2`, []string{"tcp 20001 > 172.17.0.2"}},
		{"routing table by map", "", "chain local {\ntcp dport 20000 dnat to 172.17.0.2\n}\nchain others {\ntcp dport 20001 dnat to 172.17.0.3\n}",
			`fib daddr type vmap { local : jump local, unicast : jump others }`, []string{"tcp 20000 > 172.17.0.2 local"}},
		// What a rule asks of the destination is nothing that another one asks.
		{"a published port, and a proxy for containers", "", "", `fib daddr type local tcp dport 20000 dnat to 172.17.0.2; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0", "tcp 20000 > 172.17.0.2 local"}},
		{"a chain of published ports, and a proxy for containers", "", "chain c {\ntcp dport 20000 dnat to 172.17.0.2\ntcp dport 5 return\n}",
			`fib daddr type local jump c; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9; tcp dport 20001 dnat to 172.17.0.3`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0", "tcp 20000 > 172.17.0.2 local", "tcp 20001 > 172.17.0.3"}},
		{"a rule that leaves some alone, and a proxy", "", "", `ip daddr 192.0.2.1 tcp dport 22 return; ip daddr != 192.0.2.2 tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 but"}},
		{"what is for other hosts has returned", "", "chain c {\nfib daddr type != local return\niifname \"bridge0\" tcp dport 20000 dnat to 172.17.0.2\n}",
			`jump c; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0", "tcp 20000 > 172.17.0.2 in bridge0 local"}},
		{"what is for other hosts comes back", "", "chain c {\ncounter\n}", `fib daddr type != local jump c; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"one port of what is for other hosts has been accepted", "", "", `fib daddr type != local tcp dport 22 accept; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"what is for other hosts has been counted and accepted", "", "", `tcp dport 443 fib daddr type != local counter log accept; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0 local"}},
		{"what is for this host has been accepted", "", "", `fib daddr type local tcp dport 22 accept; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"what is for this host has been accepted before", "", "chain early {\ntype filter hook prerouting priority -150\nfib daddr type local tcp dport 443 accept\n}",
			`iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"mark of what is for an address of this host", "", "chain early {\ntype filter hook prerouting priority mangle\nip daddr 192.0.2.1 udp dport 20000 meta mark set 7\n}",
			`meta mark 7 meta l4proto udp dnat to 172.17.0.2:8388; iifname "bridge0" udp dport { 20000, 20001 } dnat to 172.17.0.9`,
			[]string{"udp 20000 > 172.17.0.2 :8388 local", "udp 20000-20001 > 172.17.0.9 in bridge0 but"}},
		{"what is for this host has a mark", "", "", `fib daddr type local meta mark set 1; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"addresses and ports", "", "", `ip daddr . tcp dport { 192.0.2.1 . 20000, 192.0.2.2 . 20001-20002, 10.0.0.1 . 20003 } dnat to 172.17.0.2`,
			[]string{"tcp 20000-20002 > 172.17.0.2 local"}},
		{"protocols and ports", "", "", `meta l4proto . th dport { tcp . 20000, udp . 20001 } dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2", "udp 20001 > 172.17.0.2"}},
		{"ports and protocols", "", "", `th dport . meta l4proto { 20000 . tcp, 20001 . udp } dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2", "udp 20001 > 172.17.0.2"}},
		{"addresses, protocols and ports", "", "", `ip daddr . meta l4proto . th dport { 192.0.2.1 . tcp . 20000, 10.0.0.1 . udp . 20001 } dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2 local"}},
		{"addresses and ports of IPv6", "ip6", "", `ip6 daddr . tcp dport { 2001:db8::1 . 20000, fd01::1 . 20001 } dnat to fd00::2`, []string{"tcp 20000 > fd00::2 local"}},
		{"map of addresses and ports", "", "map m {\ntype ipv4_addr . inet_service : ipv4_addr . inet_service\nelements = { 192.0.2.1 . 20000 : 172.17.0.2 . 8388, 192.0.2.2 . 20000 : 172.17.0.3 . 8389, 10.0.0.1 . 1 : 172.17.0.4 . 1 }\n}",
			`dnat ip addr . port to ip daddr . tcp dport map @m`, []string{"tcp 20000 > 172.17.0.2 :8388 local", "tcp 20000 > 172.17.0.3 :8389 local"}},
		{"intervals of addresses and ports", "", "set s {\ntype ipv4_addr . inet_service\nflags interval\nelements = { 192.0.2.0/24 . 20000-20009, 10.0.0.0/8 . 1-9 }\n}",
			`ip daddr . tcp dport @s dnat to 172.17.0.2`, []string{"tcp 20000-20009 > 172.17.0.2"}},

		// Where packets come from.
		{"by another interface", "", "", `iifname != "docker0" tcp dport 20000 counter dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"not by the uplink", "", "", `iifname != "eth0" tcp dport 443 dnat to 172.17.0.9; tcp dport { 443, 444 } dnat to 172.17.0.9`,
			[]string{"tcp 443-444 > 172.17.0.9"}},
		{"not by uplinks of a set", "", "", `iifname != { "docker0", "eth0" } tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 not in eth0"}},
		{"by neither of two bridges", "", "", `iifname != { "docker0", "bridge0" } tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9"}},
		{"what arrives by the uplink returns", "", "", `iifname "eth0" return; tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 not in eth0"}},
		{"one port of the uplink returns", "", "", `iifname "eth0" tcp dport 22 return; tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9"}},
		{"what arrives by the uplink comes back", "", "chain c {\ntcp dport 22 return\n}", `iifname "eth0" jump c; tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9"}},
		{"by an interface", "", "", `iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"by any such interface", "", "", `iifname "br-*" tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 in br-*"}},
		{"by the interface of an index", "", "", `iif lo tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 in lo"}},
		{"by interfaces of a set", "", "", `iifname { "bridge0", "bridge1" } tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 in bridge0 in bridge1"}},
		{"after the other interface", "", "", `iifname != "bridge0" return; tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"by an interface, and by another", "", "", `iifname "bridge1" tcp dport 443 dnat to 172.17.0.9; iifname "bridge0" tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 in bridge0 in bridge1"}},
		{"by two interfaces", "", "chain c {\niifname \"bridge1\" tcp dport 443 dnat to 172.17.0.9\n}", `iifname "bridge0" jump c`, nil},
		{"by an interface, of such", "", "chain c {\niifname \"bridge1\" tcp dport 443 dnat to 172.17.0.9\n}", `iifname "bridge*" jump c`, []string{"tcp 443 > 172.17.0.9 in bridge1"}},
		{"by an interface, not of such", "", "chain c {\niifname \"eth0\" tcp dport 443 dnat to 172.17.0.9\n}", `iifname "bridge*" jump c`, nil},
		{"from an address, and from another", "", "", `ip saddr 10.0.0.2 tcp dport 443 dnat to 172.17.0.9; ip saddr 10.0.0.1 tcp dport 443 dnat to 172.17.0.9`,
			[]string{"tcp 443 > 172.17.0.9 from 10.0.0.1/32 from 10.0.0.2/32"}},
		{"more from one address than from another", "", "", `ip saddr 10.0.0.1 tcp dport 440-449 dnat to 172.17.0.9; ip saddr 10.0.0.2 tcp dport 440-445 dnat to 172.17.0.9`,
			[]string{"tcp 440-445 > 172.17.0.9 from 10.0.0.2/32", "tcp 440-449 > 172.17.0.9 from 10.0.0.1/32"}},
		{"from a range", "", "", `ip saddr 10.0.0.0-10.5.0.255 tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 from 10.0.0.0/13"}},
		{"from a network within another", "", "chain c {\nip saddr 10.0.0.0/16 tcp dport 443 dnat to 172.17.0.9\n}", `ip saddr 10.0.0.0/8 jump c`, []string{"tcp 443 > 172.17.0.9 from 10.0.0.0/16"}},
		{"from two networks", "", "chain c {\nip saddr 192.168.0.0/16 tcp dport 443 dnat to 172.17.0.9\n}", `ip saddr 10.0.0.0/8 jump c`, nil},
		{"zones by a map", "", "chain public {\ntcp dport 20000 dnat to 172.17.0.2\n}\nchain internal {\ntcp dport 20001 dnat to 172.17.0.3\n}",
			`iifname vmap { "eth0" : goto public, "bridge0" : goto internal }; tcp dport 20002 dnat to 172.17.0.4`,
			[]string{"tcp 20000 > 172.17.0.2 in eth0", "tcp 20001 > 172.17.0.3 in bridge0", "tcp 20002 > 172.17.0.4 not in eth0"}},
		{"not by an interface that logs first", "", "chain noting {\ntcp dport 1 accept\n}", `iifname "eth0" jump noting; tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"neither by one nor by another", "", "", `iifname "eth*" return; iifname { "b*", "d" } return; iifname "eth1" tcp dport 1 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2 not in eth*"}},
		{"from a network", "", "", `ip saddr 10.0.0.0/12 tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 from 10.0.0.0/12"}},
		{"from a network of IPv6", "ip6", "", `ip6 saddr fd00::/8 tcp dport 443 dnat to fd00::9`, []string{"tcp 443 > fd00::9 from fd00::/8"}},
		{"from networks", "", "", `ip saddr { 10.0.0.0/8, 172.16.0.1 } tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 from 10.0.0.0/8 from 172.16.0.1/32"}},
		{"from a named set", "", "set clients {\ntype ipv4_addr\n}", `ip saddr @clients tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 from @clients"}},
		{"not from a named set", "", "set clients {\ntype ipv4_addr\n}", `ip saddr != @clients tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9"}},
		{"source and destination at once", "", "", `ip saddr 10.0.0.1 ip daddr 192.0.2.1 tcp dport 443 dnat to 172.17.0.9`, []string{"tcp 443 > 172.17.0.9 from 10.0.0.1/32 local"}},

		{"not from ports of a set", "", "", `tcp sport != { 5, 6 } tcp dport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},

		// Through chains.
		{"jump behind a port", "", "chain service {\nip saddr 172.17.0.2 jump hairpin\nmeta l4proto tcp dnat to 172.17.0.2:8388\n}\nchain hairpin {\nmeta mark set mark or 0x4000\n}",
			`tcp dport 20000 jump service`, []string{"tcp 20000 > 172.17.0.2 :8388"}},
		{"kube-proxy", "", `chain service { numgen random mod 2 vmap { 0 : jump endpoint1, 1 : goto endpoint2 }
			}
			chain endpoint1 { meta l4proto tcp dnat to 172.17.0.2:8388
			}
			chain endpoint2 { meta l4proto tcp dnat to 172.17.0.3:8388
			}
			chain external { fib saddr type local jump hairpin
				goto service
			}
			chain hairpin { meta mark set mark or 0x4000
			}
			map nodeports { type inet_proto . inet_service : verdict
				elements = { tcp . 20000 : goto external }
			}
			chain nodeports { meta l4proto . th dport vmap @nodeports
			}`, `fib daddr type local ip daddr != 127.0.0.0/8 jump nodeports`,
			[]string{"tcp 20000 > 172.17.0.2 :8388 local", "tcp 20000 > 172.17.0.3 :8388 local"}},
		{"verdicts", "", "chain a {\ndnat to 172.17.0.2\n}\nchain b {\ndnat to 172.17.0.3\n}",
			`tcp dport vmap { 1 : drop, 2 : accept, 3 : return, 4 : continue, 10-19 : jump a, 20 : goto b }; tcp dport < 100 dnat to 172.17.0.9`,
			[]string{"tcp 4-9 > 172.17.0.9", "tcp 10-19 > 172.17.0.2", "tcp 20 > 172.17.0.3", "tcp 21-99 > 172.17.0.9"}},
		{"catch-all element", "", "chain a {\ndnat to 172.17.0.2\n}", `tcp dport vmap { 22 : accept, * : jump a }`, []string{"tcp 1-21 > 172.17.0.2", "tcp 23-65535 > 172.17.0.2"}},
		{"return and goto", "", "chain a {\ntcp dport 1 return\ntcp dport 2 goto b\ndnat to 172.17.0.2\n}\nchain b {\ntcp dport 9 dnat to 172.17.0.9\n}",
			`tcp dport < 4 jump a; tcp dport < 6 dnat to 172.17.0.3`,
			[]string{"tcp 1-2 > 172.17.0.3", "tcp 3 > 172.17.0.2", "tcp 4-5 > 172.17.0.3"}},
		{"goto does not come back", "", "chain a {\ncounter\n}", `tcp dport 20000 goto a; dnat to 172.17.0.2`,
			[]string{"tcp 1-19999 > 172.17.0.2", "tcp 20001-65535 > 172.17.0.2", "udp 1-65535 > 172.17.0.2"}},
		{"accepted before", "", "", `tcp dport 20000 accept; tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"dropped before", "", "", `tcp dport 20000 drop; tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"translated before", "", "", `tcp dport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.3`, []string{"tcp 20000 > 172.17.0.2"}},
		{"other protocol", "", "", `meta l4proto sctp th dport 20000 dnat to 172.17.0.2`, nil},
		{"source port", "", "", `tcp sport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 1-65535 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},
		{"two ports at once", "", "", `tcp dport 20000 tcp dport 1 redirect`, nil},
		{"nowhere jumped to", "", "chain a {\ntcp dport 20000 dnat to 172.17.0.2\n}", `tcp dport 20000 counter`, nil},
		{"output", "", "chain OUTPUT {\ntype nat hook output priority -100\ntcp dport 20000 dnat to 172.17.0.2\n}", `tcp dport 1 counter`, nil},
		{"dormant", "", "flags dormant", `tcp dport 20000 dnat to 172.17.0.2`, nil},
		{"two chains of one priority", "", "chain first {\ntype nat hook prerouting priority dstnat\ntcp dport 20000 dnat to 172.17.0.3\n}", `tcp dport 20000 dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2"}},
		{"two chains", "", "chain first {\ntype nat hook prerouting priority -150\ntcp dport 1 dnat to 172.17.0.2\ntcp dport 2 accept\n}", `tcp dport < 4 dnat to 172.17.0.3`,
			[]string{"tcp 1 > 172.17.0.2", "tcp 2-3 > 172.17.0.3"}},

		// Marks.
		{"mark set before", "", "chain mangle {\ntype filter hook prerouting priority mangle\ntcp dport 20000 meta mark set 0x1\nudp dport 20001 meta mark set 0x2\n}",
			`meta mark 0x1 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"mark by a map", "", "chain mangle {\ntype filter hook prerouting priority raw\nmeta mark set tcp dport map { 20000 : 1, 20001 : 2 }\n}",
			`dnat to meta mark map { 1 : 172.17.0.2, 2 : 172.17.0.3 }`, []string{"tcp 20000 > 172.17.0.2", "tcp 20001 > 172.17.0.3"}},
		{"bits of a mark", "", "chain mangle {\ntype filter hook prerouting priority mangle\ntcp dport 20000 meta mark set mark or 0x10\n}",
			`meta mark and 0x10 == 0x10 meta l4proto tcp dnat to 172.17.0.2:8388`, []string{"tcp 20000 > 172.17.0.2 :8388"}},
		{"range of marks", "", "chain mangle {\ntype filter hook prerouting priority mangle\ntcp dport 20000 meta mark set 0x3\ntcp dport 20001 meta mark set 0x300\n}",
			`meta mark 1-5 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"connection mark", "", "chain mangle {\ntype filter hook prerouting priority mangle\ntcp dport 20000 ct mark set 0x1\nmeta mark set ct mark\n}",
			`meta mark 0x1 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"mark saved", "", "chain mangle {\ntype filter hook prerouting priority mangle\ntcp dport 20000 meta mark set 0x1\nct mark set meta mark\n}",
			`ct mark 0x1 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"mark set too late", "", "chain mangle {\ntype filter hook prerouting priority 0\ntcp dport 20000 meta mark set 0x1\n}",
			`meta mark 0x1 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 ? the packets have a mark that no rule sets"}},
		{"mark of nobody", "", "", `meta mark 0x1 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 ? the packets have a mark that no rule sets"}},
		{"not a mark of nobody", "", "", `meta mark 0x1 accept; tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"no mark", "", "", `meta mark 0 tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"dropped by a chain before", "", "chain raw {\ntype filter hook prerouting priority raw\ntcp dport 20000 drop\n}", `tcp dport { 20000, 20001 } dnat to 172.17.0.2`,
			[]string{"tcp 20001 > 172.17.0.2"}},
		{"dropped by a policy before", "", "chain raw {\ntype filter hook prerouting priority raw\npolicy drop\ntcp dport 20000 accept\n}", `tcp dport { 20000, 20001 } dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2"}},
		{"chains before in order", "", "chain raw {\ntype filter hook prerouting priority raw\ntcp dport 20000 meta mark set 0x1\n}\nchain mangle {\ntype filter hook prerouting priority mangle\nmeta mark 0x1 meta mark set 0x2\n}",
			`meta mark 0x2 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"perhaps dropped before", "", "chain raw {\ntype filter hook prerouting priority raw\nlimit rate over 5/second drop\nfib saddr . iif oif missing drop\nmeta iifgroup 5 drop\ntcp flags syn ip ttl 1 counter reject with tcp reset\n}",
			`tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"perhaps accepted before", "", "", `limit rate over 5/second accept; tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"reverse path", "", "chain raw {\ntype filter hook prerouting priority raw\npolicy drop\nfib saddr . iif oif exists accept\n}",
			`tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"not tracked", "", "chain raw {\ntype filter hook prerouting priority raw\ntcp dport 20000 notrack\n}", `tcp dport { 20000, 20001 } dnat to 172.17.0.2`,
			[]string{"tcp 20001 > 172.17.0.2"}},

		// What is not known.
		{"limit", "", "", `tcp dport 20000 limit rate 5/second dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},
		{"unknown expression", "", "", `tcp dport 20000 rt classid 5 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2 from some", "tcp 20000 > 172.17.0.9 from some"}},
		{"unknown sender", "", "", `meta iifgroup 5 tcp dport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2 from some", "tcp 20000 > 172.17.0.9 from some"}},
		{"a socket, which is no sender", "", "chain mangle {\ntype filter hook prerouting priority mangle\nsocket transparent 1 meta mark set 1 accept\n}",
			`tcp dport 20000 dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"unknown senders by a zone", "", "", `ct original zone 5 tcp dport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2 from some", "tcp 20000 > 172.17.0.9 from some"}},
		{"unknown senders in a set", "", "set s {\ntype ether_addr\n}", `ether saddr @s tcp dport 20000 dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`, []string{"tcp 20000 > 172.17.0.2 from some", "tcp 20000 > 172.17.0.9 from some"}},
		{"unknown port, twice", "", "", `iifname "bridge0" tcp dport 20000 dnat to 172.17.0.2:numgen random mod 5000; ip saddr 10.0.0.1 tcp dport 20000 dnat to 172.17.0.2:numgen random mod 5000`,
			[]string{"tcp 20000 ? the new port depends on more than the port"}},
		{"unknown port", "", "", `tcp dport 20000 dnat to 172.17.0.2:numgen random mod 5000 offset 100`, []string{"tcp 20000 ? the new port depends on more than the port"}},
		{"rewritten", "", "chain raw {\ntype filter hook prerouting priority raw\ntcp dport 20000 tcp dport set 8388\n}", `tcp dport 1 counter`,
			[]string{"tcp 20000 ? it rewrites the destination without connection tracking"}},
		{"transparent proxy", "", "chain mangle {\ntype filter hook prerouting priority mangle\ntcp dport 20000 tproxy to :8388 meta mark set 1 accept\n}", `tcp dport 1 counter`, nil},
		{"filling a set", "", "set s {\ntype ipv4_addr\nflags dynamic\n}", `tcp dport 20000 update @s { ip saddr } dnat to 172.17.0.2`, []string{"tcp 20000 > 172.17.0.2"}},
		{"limit of each source", "", "set s {\ntype ipv4_addr\nflags dynamic\n}", `tcp dport 20000 update @s { ip saddr limit rate 5/second } dnat to 172.17.0.2; tcp dport 20000 dnat to 172.17.0.9`,
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},
		{"counting, logging and filling sets", "", "set s {\ntype ipv4_addr\nflags dynamic\n}", `limit rate 5/second log prefix "x"; update @s { ip saddr }; tcp dport 20000 dnat to 172.17.0.2`,
			[]string{"tcp 20000 > 172.17.0.2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			family := test.family
			if family == "" {
				family = "ip"
			}
			testkit.NFT(t, nat(family, test.table, test.rules))
			wantFound(t, test.want)
		})
	}
}

// nat returns a table with rules in a chain of type nat at prerouting.
func nat(family, more, rules string) string {
	return fmt.Sprintf("table %s nat {\n%s\nchain PREROUTING {\ntype nat hook prerouting priority dstnat;\n%s\n}\n}",
		family, more, strings.ReplaceAll(rules, "; ", "\n"))
}

// TestRewriting has chains that rewrite before and after prerouting translates, or
// without any that translates.
func TestRewriting(t *testing.T) {
	const rules = "udp dport 20001 ip daddr 192.0.2.9 ip daddr set 172.17.0.2\nudp dport 20000 ip daddr 192.0.2.1 ip daddr set 172.17.0.2\ntcp dport 1 drop\nip saddr 192.0.2.9 ip saddr set 192.0.2.1\n}\n}"
	want := []string{"udp 20000 ? " + rewritten}
	for _, chain := range []string{
		"table inet raw {\nchain c {\ntype filter hook prerouting priority raw\n",
		"table ip mangle {\nchain c {\ntype filter hook prerouting priority filter\n",
		"table netdev d {\nchain c {\ntype filter hook ingress device lo priority 0\n",
		"table inet d {\nchain c {\ntype filter hook ingress device lo priority 0\n",
	} {
		t.Run("", func(t *testing.T) {
			testkit.NetworkNamespace(t)
			testkit.NFT(t, chain+rules)
			wantFound(t, want)
			testkit.NFT(t, nat("ip", "", "udp dport 20000 dnat to 172.17.0.2")+"\ntable ip early {\nchain c {\ntype filter hook prerouting priority raw - 1\nudp dport 1-20000 notrack\n}\n}")
			wantFound(t, want)
		})
	}
	// A translation of one network to another, without a state.
	testkit.NetworkNamespace(t)
	iptables(t, "ip6tables-nft", "-t mangle -A PREROUTING -d 2001:db8::/64 -p udp --dport 20000 -j DNPT --src-pfx 2001:db8::/64 --dst-pfx fd00::/64")
	wantFound(t, want)
}

// TestPlaces has a translation and one that is not understood in chains that the
// base chain jumps to.
func TestPlaces(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, nat("inet", "chain a {\ntcp dport 20000 dnat ip to 172.17.0.2:8388\n}\nchain b {\nmeta mark 5 udp dport 1-9 redirect\n}", "jump a; goto b"))
	want := Survey{
		Translations: []Translation{{
			Place: Place{"inet", "nat", "a"}, Protocol: accounting.TCP, Ports: PortRange{20000, 20000}, Target: netip.MustParseAddrPort("172.17.0.2:8388"),
		}},
		Unresolved: []Unresolved{{Place{"inet", "nat", "b"}, accounting.UDP, PortRange{1, 9}, "the packets have a mark that no rule sets", false}},
	}
	wantSurvey(t, want)
}

// TestTranslationsOfUnknownAddresses has a host without an address yet: any address
// may become its own.
func TestTranslationsOfUnknownAddresses(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, nat("ip", "", "ip daddr 192.0.2.9 tcp dport 20000 dnat to 172.17.0.2; ip daddr != 192.0.2.9 tcp dport 20001 dnat to 172.17.0.2"))
	survey, err := Read(Host{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")}})
	if err != nil {
		t.Fatal(err)
	}
	got := describeAll(survey.Translations)
	if want := []string{"tcp 20000 > 172.17.0.2 local", "tcp 20001 > 172.17.0.2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
