package endtoend_test

import "testing"

// natChain wraps rules of a chain at prerouting.
func natChain(rules string) string {
	return `table {ip} nat {
		chain prerouting { type nat hook prerouting priority dstnat; policy accept;
			` + rules + `
		}
	}
	`
}

// TestPublishedByMaps has the forms that look targets up.
func TestPublishedByMaps(t *testing.T) {
	testForms(t, []form{
		{name: "systemd-nspawn", nft: `table {ip} io.systemd.nat {
			set masq_saddr { type {type}; flags interval; }
			map map_port_ipport { type inet_proto . inet_service : {type} . inet_service;
				elements = { tcp . 20000 : {to} . 8388, udp . 20000 : {to} . 8388 }
			}
			chain prerouting { type nat hook prerouting priority dstnat + 1; policy accept;
				fib daddr type local dnat {ip} addr . port to meta l4proto . th dport map @map_port_ipport
			}
			chain output { type nat hook output priority -99; policy accept;
				{ip} daddr != {host} oif "lo" dnat {ip} addr . port to meta l4proto . th dport map @map_port_ipport
			}
		}
		`},
		{name: "concatenated anonymous map", nft: natChain(`dnat {ip} addr . port to meta l4proto . th dport map { tcp . 20000 : {to} . 8388, udp . 20000 : {to} . 8388 }`)},
		{name: "concatenated anonymous set", nft: natChain(`meta l4proto { tcp, udp } {ip} daddr . meta l4proto . th dport { {host} . tcp . 20000, {host} . udp . 20000 } dnat to {dnat}`)},
		{name: "address and port", nft: natChain(`
			dnat {ip} addr . port to {ip} daddr . tcp dport map { {host} . 20000 : {to} . 8388 }
			dnat {ip} addr . port to {ip} daddr . udp dport map { {host} . 20000 : {to} . 8388 }`)},
		{name: "only the address", ports: []int{publishedPort}, nft: natChain(`
			dnat to tcp dport map { 22 : {next}, 20000 : {to} }
			dnat to udp dport map { 22 : {next}, 20000 : {to} }`)},
		{name: "verdict map", nft: natChain(`
			tcp dport vmap { 22 : accept, 20000 : jump service }
			udp dport vmap { 22 : accept, 20000 : goto service }
			}
			chain service {
				meta l4proto { tcp, udp } dnat to {dnat}`)},
		{name: "verdict map by interface", nft: natChain(`
			iifname vmap { "bridge0" : return, "veth0" : jump wan }
			}
			chain wan {
				meta l4proto . th dport vmap { tcp . 20000 : goto service, udp . 20000 : goto service }
			}
			chain service {
				meta l4proto { tcp, udp } dnat to {dnat}`)},
		{name: "kube-proxy", nft: `table {ip} kube-proxy {
			set cluster-ips { type {type}; }
			set nodeport-ips { type {type}; elements = { {host} } }
			map service-ips { type {type} . inet_proto . inet_service : verdict; }
			map service-nodeports { type inet_proto . inet_service : verdict;
				elements = { tcp . 20000 : goto external-a, udp . 20000 : goto external-a }
			}
			map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
			chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
			chain external-a { jump mark-for-masquerade; goto service-a; }
			chain service-a { numgen inc mod 2 vmap { 0 : goto endpoint-a, 1 : goto endpoint-b }; }
			chain endpoint-a { {ip} saddr {to} jump mark-for-masquerade; meta l4proto { tcp, udp } dnat to {dnat}; }
			chain endpoint-b { {ip} saddr {next} jump mark-for-masquerade; meta l4proto { tcp, udp } dnat to {dnat next}; }
			chain services {
				{ip} daddr . meta l4proto . th dport vmap @service-ips
				{ip} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
			}
			chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
			chain nat-postrouting { type nat hook postrouting priority srcnat;
				meta mark & 0x4000 == 0 return
				meta mark set meta mark xor 0x4000
				masquerade fully-random
			}
		}
		`, next: true},
		{name: "verdict map by turns", next: true, nft: natChain(`
			meta l4proto { tcp, udp } th dport 20000 numgen inc mod 2 vmap { 0 : jump first, 1 : jump second }
			}
			chain first { meta l4proto { tcp, udp } dnat to {dnat}; }
			chain second {
				meta l4proto { tcp, udp } dnat to {dnat next}`)},
		{name: "addresses by turns", next: true, nft: natChain(`
			tcp dport 20000 dnat to numgen inc mod 2 map { 0 : {to}, 1 : {next} } : 8388
			udp dport 20000 dnat to numgen inc mod 2 map { 0 : {to}, 1 : {next} } : 8388`)},
		{name: "addresses by hash", next: true, nft: natChain(`
			tcp dport 20000 dnat to jhash {ip} saddr . tcp sport mod 2 map { 0 : {to}, 1 : {next} } : 8388
			udp dport 20000 dnat to jhash {ip} saddr . udp sport mod 2 map { 0 : {to}, 1 : {next} } : 8388`)},
		{name: "interval set", nft: natChain(`
			tcp dport @published dnat to {dnat}
			udp dport @published dnat to {dnat}
			}
			set published { type inet_service; flags interval; elements = { 1-1023, 19000-19999, 20000-20100 };`)},
		{name: "interval map", nft: natChain(`
			dnat {ip} addr . port to {ip} daddr . tcp dport map { {host} . 19990-20010 : {to} . 8388 }
			dnat {ip} addr . port to {ip} daddr . udp dport map { {host} . 19990-20010 : {to} . 8388 }`)},
	})
}

// TestPublishedByConditions has the forms that leave ports out, or ask for other
// things as well.
func TestPublishedByConditions(t *testing.T) {
	testForms(t, []form{
		{name: "jump behind the port", nft: natChain(`
			tcp dport 20000 counter jump service
			udp dport 20000 counter jump service
			}
			chain service {
				counter meta l4proto { tcp, udp } dnat to {dnat}`)},
		{name: "goto", nft: natChain(`
			fib daddr type local goto local
			}
			chain local { meta l4proto { tcp, udp } th dport 20000 goto service; }
			chain service {
				meta l4proto { tcp, udp } dnat to {dnat}`)},
		{name: "all but SSH", nft: natChain(`
			tcp dport != 22 dnat to {dnat}
			udp dport != 22 dnat to {dnat}`)},
		{name: "all but two", nft: natChain(`
			tcp dport != { 22, 80 } dnat to {dnat}
			udp dport != { 22, 80 } dnat to {dnat}`)},
		{name: "host in a DMZ", ports: []int{publishedPort}, nft: natChain(`iifname != "bridge0" dnat to {to}`)},
		{name: "accept some, then the rest", nft: natChain(`
			tcp dport { 22, 80 } accept
			udp dport 53 accept
			meta l4proto { tcp, udp } dnat to {dnat}`)},
		{name: "mark of the packet", nft: natChain(`meta mark 7 meta l4proto { tcp, udp } dnat to {dnat}`) + `table {ip} mangle {
			chain prerouting { type filter hook prerouting priority mangle; meta l4proto { tcp, udp } th dport 20000 meta mark set 7; }
		}
		`},
		{name: "bits of a mark", nft: natChain(`meta mark & 0xff00 == 0x700 meta l4proto { tcp, udp } dnat to {dnat}`) + `table {ip} mangle {
			chain prerouting { type filter hook prerouting priority mangle;
				meta mark set ct mark
				iifname "veth0" meta mark & 0x3f == 0 meta mark set meta mark | 0x1
				meta l4proto { tcp, udp } th dport 20000 meta mark set meta mark & 0xffff00ff | 0x700
				ct mark set meta mark
			}
		}
		`},
		{name: "mark of the connection", nft: natChain(`ct mark 7 meta l4proto { tcp, udp } dnat to {dnat}`) + `table {ip} mangle {
			chain prerouting { type filter hook prerouting priority mangle;
				tcp dport 20000 ct state new ct mark set 7
				udp dport 20000 ct state new ct mark set 7
			}
		}
		`},
		{name: "range of ports", nft: natChain(`
			tcp dport 19000-21000 dnat to {dnat}
			udp dport > 19999 dnat to {dnat}`)},
		{name: "choice of ports", ports: []int{9000, 9001, 9002}, nft: natChain(`meta l4proto { tcp, udp } th dport 20000 dnat to {dnat range}`)},
		{name: "choice of addresses", next: true, nft: natChain(`meta l4proto { tcp, udp } th dport 20000 dnat to {to}-{next} : 8388 random`)},
		{name: "other networks return", nft: natChain(`
			{ip} daddr != {host}/{length} return
			meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}`)},
		{name: "state and flags", nft: natChain(`
			ct state invalid accept
			tcp flags & (syn|ack) == syn tcp dport 20000 ct state new dnat to {dnat}
			udp dport 20000 ct state new,untracked dnat to {dnat}`)},
		{name: "limit", nft: natChain(`
			meta pkttype host limit rate 1000/second meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}
			accept`)},
		{name: "blocked clients", nft: natChain(`
			{ip} saddr @blocked return
			meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}
			}
			set blocked { type {type}; flags interval;`)},
		{name: "the earlier of two chains", nft: `table {ip} late { chain prerouting { type nat hook prerouting priority dstnat + 5;
				meta l4proto { tcp, udp } th dport 20000 dnat to {dnat next}; }
			}
			table {ip} early { chain prerouting { type nat hook prerouting priority dstnat - 5;
				meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}; }
			}
			`},
		{name: "family inet", nft: `table inet nat{ip} { chain prerouting { type nat hook prerouting priority dstnat;
				meta l4proto { tcp, udp } th dport 20000 dnat {ip} to {dnat}; }
			}
			`},
		{name: "anonymous chain", nft: natChain(`
			fib daddr type local jump {
				meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}
			}`)},
		{name: "verdict map of intervals", nft: natChain(`
			tcp dport vmap { 1-1023 : accept, 19000-20100 : jump service }
			udp dport vmap { 1-1023 : accept, 19000-20100 : jump service }
			}
			chain service {
				meta l4proto { tcp, udp } dnat to {dnat}`)},
		{name: "bounded quota", nft: natChain(`
			quota 1000 mbytes meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}`)},
		{name: "clients of one network by a set", nft: natChain(`
			iifname . {ip} saddr { "veth0" . {client} } meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}`)},
		{name: "address type by interface", nft: natChain(`
			fib daddr . iif type local meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}`)},
		{name: "the uplink, which is logged first", nft: natChain(`
			iifname "veth0" jump noting
			meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}
			}
			chain noting { tcp dport 1 accept; counter;`)},
		{name: "patterns of uplinks", nft: natChain(`
			iifname { "veth*", "eth*" } meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}`)},
		{name: "what containers send returns", nft: natChain(`
			iifname { "bridge0", "docker*" } return
			meta l4proto { tcp, udp } th dport 20000 dnat to {dnat}`)},
		{name: "numbers of ports by turns", ports: []int{9000, 9001}, nft: natChain(`
			tcp dport 20000 dnat to {to} : numgen inc mod 2 map { 0 : 9000, 1 : 9001 }
			udp dport 20000 dnat to {to} : numgen inc mod 2 map { 0 : 9000, 1 : 9001 }`)},
		{name: "raw payload", nft: natChain(`meta l4proto { tcp, udp } @th,16,16 20000 dnat to {dnat}`)},
		{name: "a port in a mask", nft: natChain(`meta l4proto { tcp, udp } th dport & 0xfff0 == 20000 dnat to {dnat}`)},
	})
}
