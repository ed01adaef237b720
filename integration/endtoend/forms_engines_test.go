package endtoend_test

import "testing"

// TestPublishedByIptables has the matches and targets of iptables-nft.
func TestPublishedByIptables(t *testing.T) {
	prerouting := func(rules string) string { return "*nat\n:PREROUTING ACCEPT [0:0]\n" + rules + "\nCOMMIT\n" }
	both := func(rule string) string {
		return "-A PREROUTING -p tcp " + rule + "\n-A PREROUTING -p udp " + rule + "\n"
	}
	testForms(t, []form{
		{name: "Docker", xt: `*nat
			:PREROUTING ACCEPT [0:0]
			:OUTPUT ACCEPT [0:0]
			:POSTROUTING ACCEPT [0:0]
			:DOCKER - [0:0]
			-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
			-A OUTPUT ! -d {host} -m addrtype --dst-type LOCAL -j DOCKER
			-A POSTROUTING -s {to} -d {to} -p tcp -m tcp --dport 8388 -j MASQUERADE
			-A DOCKER -i bridge0 -j RETURN
			-A DOCKER ! -i bridge0 -p tcp -m tcp --dport 20000 -j DNAT --to-destination {dnat}
			-A DOCKER ! -i bridge0 -p udp -m udp --dport 20000 -j DNAT --to-destination {dnat}
			COMMIT
			`},
		{name: "kube-proxy", next: true, xt: `*nat
			:PREROUTING ACCEPT [0:0]
			:POSTROUTING ACCEPT [0:0]
			:KUBE-EXT-A - [0:0]
			:KUBE-MARK-MASQ - [0:0]
			:KUBE-NODEPORTS - [0:0]
			:KUBE-POSTROUTING - [0:0]
			:KUBE-SEP-A - [0:0]
			:KUBE-SEP-B - [0:0]
			:KUBE-SERVICES - [0:0]
			:KUBE-SVC-A - [0:0]
			-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
			-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
			-A KUBE-EXT-A -m comment --comment "masquerade traffic for a/ss external destinations" -j KUBE-MARK-MASQ
			-A KUBE-EXT-A -j KUBE-SVC-A
			-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
			-A KUBE-NODEPORTS -p tcp -m comment --comment "a/ss" -m tcp --dport 20000 -j KUBE-EXT-A
			-A KUBE-NODEPORTS -p udp -m comment --comment "a/ss" -m udp --dport 20000 -j KUBE-EXT-A
			-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
			-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
			-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
			-A KUBE-SEP-A -s {to} -m comment --comment "a/ss" -j KUBE-MARK-MASQ
			-A KUBE-SEP-A -p tcp -m comment --comment "a/ss" -m tcp -j DNAT --to-destination {dnat}
			-A KUBE-SEP-A -p udp -m comment --comment "a/ss" -m udp -j DNAT --to-destination {dnat}
			-A KUBE-SEP-B -s {next} -m comment --comment "a/ss" -j KUBE-MARK-MASQ
			-A KUBE-SEP-B -p tcp -m comment --comment "a/ss" -m tcp -j DNAT --to-destination {dnat next}
			-A KUBE-SEP-B -p udp -m comment --comment "a/ss" -m udp -j DNAT --to-destination {dnat next}
			-A KUBE-SERVICES -m comment --comment "nodeports" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
			-A KUBE-SVC-A -m comment --comment "a/ss -> first" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
			-A KUBE-SVC-A -m comment --comment "a/ss -> second" -j KUBE-SEP-B
			COMMIT
			`},
		{name: "kube-proxy with affinity and local endpoints", xt: `*nat
			:PREROUTING ACCEPT [0:0]
			:KUBE-EXT-A - [0:0]
			:KUBE-NODEPORTS - [0:0]
			:KUBE-SEP-A - [0:0]
			:KUBE-SEP-B - [0:0]
			:KUBE-SERVICES - [0:0]
			:KUBE-SVC-A - [0:0]
			:KUBE-SVL-A - [0:0]
			-A PREROUTING -j KUBE-SERVICES
			-A KUBE-EXT-A -s {to} -m comment --comment "pod traffic for a/ss external destinations" -j KUBE-SVC-A
			-A KUBE-EXT-A -m addrtype --src-type LOCAL -j KUBE-SVC-A
			-A KUBE-EXT-A -j KUBE-SVL-A
			-A KUBE-NODEPORTS -p tcp -m tcp --dport 20000 -j KUBE-EXT-A
			-A KUBE-NODEPORTS -p udp -m udp --dport 20000 -j KUBE-EXT-A
			-A KUBE-SEP-A -p tcp -m recent --set --name KUBE-SEP-A --rsource -m tcp -j DNAT --to-destination {dnat}
			-A KUBE-SEP-A -p udp -m recent --set --name KUBE-SEP-A --rsource -m udp -j DNAT --to-destination {dnat}
			-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination {dnat next}
			-A KUBE-SEP-B -p udp -m udp -j DNAT --to-destination {dnat next}
			-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
			-A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
			-A KUBE-SVC-A -j KUBE-SEP-B
			-A KUBE-SVL-A -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --rsource -j KUBE-SEP-A
			-A KUBE-SVL-A -j KUBE-SEP-A
			COMMIT
			`},
		{name: "CNI portmap", xt: `*nat
			:PREROUTING ACCEPT [0:0]
			:CNI-DN-5dc60ea05ffe1e5a8d4ff - [0:0]
			:CNI-HOSTPORT-DNAT - [0:0]
			:CNI-HOSTPORT-SETMARK - [0:0]
			-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
			-A CNI-DN-5dc60ea05ffe1e5a8d4ff -s {to} -p tcp -m tcp --dport 20000 -j CNI-HOSTPORT-SETMARK
			-A CNI-DN-5dc60ea05ffe1e5a8d4ff -p tcp -m tcp --dport 20000 -j DNAT --to-destination {dnat}
			-A CNI-DN-5dc60ea05ffe1e5a8d4ff -p udp -m udp --dport 20000 -j DNAT --to-destination {dnat}
			-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name" -m multiport --dports 22,20000 -j CNI-DN-5dc60ea05ffe1e5a8d4ff
			-A CNI-HOSTPORT-DNAT -p udp -m comment --comment "dnat name" -m multiport --dports 20000 -j CNI-DN-5dc60ea05ffe1e5a8d4ff
			-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
			COMMIT
			`},
		{name: "multiport with ranges", xt: prerouting(both("-m multiport --dports 22,80,19990:20010 -j DNAT --to-destination {dnat}"))},
		{name: "multiport inverted", xt: prerouting(both("-m multiport ! --dports 22,80 -j DNAT --to-destination {dnat}"))},
		{name: "statistic by turns", next: true, xt: prerouting(both("--dport 20000 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination {dnat}") +
			both("--dport 20000 -j DNAT --to-destination {dnat next}"))},
		{name: "shifted range", ports: []int{9000}, xt: prerouting(both("--dport 19995:20005 -j DNAT --to-destination {dnat shifted}"))},
		{name: "uplink", xt: prerouting(both("-i veth0 --dport 20000 -j DNAT --to-destination {dnat}"))},
		{name: "no interface of a container", xt: prerouting(both("! -i bridge0 --dport 20000 -j DNAT --to-destination {dnat}"))},
		{name: "address", xt: prerouting(both("-d {host} --dport 20000 -j DNAT --to-destination {dnat}"))},
		{name: "all addresses but one", xt: prerouting(both("! -d {to} ! --dport 22 -j DNAT --to-destination {dnat}"))},
		{name: "host in a DMZ", ports: []int{publishedPort}, xt: prerouting("-A PREROUTING -i veth0 -j DNAT --to-destination {to}")},
		{name: "exceptions", xt: prerouting(both("--dport 22 -j RETURN") + both("--dport 80:443 -j ACCEPT") + both("-i veth0 -j DNAT --to-destination {dnat}"))},
		{name: "mark", xt: "*mangle\n" + both("--dport 20000 -j MARK --set-mark 0x7") + "COMMIT\n" + prerouting(both("-m mark --mark 0x7 -j DNAT --to-destination {dnat}"))},
		{name: "mark of the connection", xt: "*mangle\n" + both("--dport 20000 -j CONNMARK --set-mark 0x7") +
			both("-j CONNMARK --restore-mark") + "COMMIT\n" + prerouting(both("-m connmark --mark 0x7/0xff -j DNAT --to-destination {dnat}"))},
		{name: "state", xt: prerouting(both("--dport 20000 -m conntrack --ctstate NEW -j DNAT --to-destination {dnat}"))},
		{name: "limit", xt: prerouting(both("--dport 20000 -m limit --limit 1000/second -j DNAT --to-destination {dnat}"))},
		{name: "comment", xt: prerouting(both("--dport 20000 -m comment --comment \"shadowsocks of a\" -j DNAT --to-destination {dnat} --persistent"))},
		{name: "choice of addresses", next: true, xt: prerouting(both("--dport 20000 -j DNAT --to-destination {dnat addresses} --random"))},
		{name: "unknown match", xt: prerouting(both("--dport 20000 -m length --length 0:2000 -j DNAT --to-destination {dnat}"))},
	})
}

// TestPublishedByEngines has what programs write that publish ports by nftables.
func TestPublishedByEngines(t *testing.T) {
	testForms(t, []form{
		{name: "Docker", nft: `table {ip} docker-bridges {
			map filter-forward-in-jumps { type ifname : verdict; elements = { "bridge0" : jump filter-forward-in__bridge0 }; }
			chain filter-FORWARD { type filter hook forward priority filter; policy accept; oifname vmap @filter-forward-in-jumps; }
			chain filter-forward-in__bridge0 {
				ct state established,related counter accept
				meta l4proto { tcp, udp } {ip} daddr {to} th dport 8388 counter accept
				counter drop
			}
			chain nat-OUTPUT { type nat hook output priority -100; policy accept; {ip} daddr != {host} fib daddr type local counter jump nat-prerouting-and-output; }
			chain nat-POSTROUTING { type nat hook postrouting priority srcnat; policy accept; }
			chain nat-PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump nat-prerouting-and-output; }
			chain nat-prerouting-and-output {
				iifname != "bridge0" tcp dport 20000 counter dnat to {dnat} comment "DNAT"
				iifname != "bridge0" udp dport 20000 counter dnat to {dnat} comment "DNAT"
			}
			chain raw-PREROUTING { type filter hook prerouting priority raw; policy accept; {ip} daddr {to} iifname != { "bridge0", "veth0" } counter drop; }
		}
		`},
		{name: "netavark", nft: `table inet netavark{ip} {
			chain INPUT { type filter hook input priority filter; policy accept; }
			chain FORWARD { type filter hook forward priority filter; policy accept; ct state invalid drop; jump NETAVARK-ISOLATION-1; }
			chain NETAVARK-ISOLATION-1 { counter; }
			chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; meta mark & 0x00002000 == 0x00002000 masquerade; }
			chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT; }
			chain OUTPUT { type nat hook output priority -100; policy accept; fib daddr type local jump NETAVARK-HOSTPORT-DNAT; }
			chain NETAVARK-HOSTPORT-DNAT {
				tcp dport 20000 jump nv_2f259bab_dnat
				udp dport 20000 jump nv_2f259bab_dnat
			}
			chain NETAVARK-HOSTPORT-SETMARK { meta mark set meta mark | 0x00002000; }
			chain nv_2f259bab_dnat {
				{ip} saddr {to} tcp dport 20000 jump NETAVARK-HOSTPORT-SETMARK
				{ip} saddr {host} tcp dport 20000 jump NETAVARK-HOSTPORT-SETMARK
				tcp dport 20000 dnat {ip} to {dnat}
				{ip} saddr {to} udp dport 20000 jump NETAVARK-HOSTPORT-SETMARK
				udp dport 20000 dnat {ip} to {dnat}
			}
		}
		`},
		{name: "firewalld", nft: `table inet firewalld{ip} {
			chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; policy accept; jump nat_PREROUTING_ZONES; }
			chain nat_PREROUTING_ZONES {
				iifname "bridge0" goto nat_PRE_trusted
				goto nat_PRE_public
			}
			chain nat_PRE_trusted { }
			chain nat_PRE_public {
				jump nat_PRE_public_pre
				jump nat_PRE_public_log
				jump nat_PRE_public_deny
				jump nat_PRE_public_allow
				jump nat_PRE_public_post
			}
			chain nat_PRE_public_pre { }
			chain nat_PRE_public_log { }
			chain nat_PRE_public_deny { }
			chain nat_PRE_public_allow {
				meta nfproto {nfproto} tcp dport 20000 dnat {ip} to {dnat}
				meta nfproto {nfproto} udp dport 20000 dnat {ip} to {dnat}
			}
			chain nat_PRE_public_post { }
		}
		`},
		{name: "OpenWrt", nft: `table inet fw4{ip} {
			chain dstnat { type nat hook prerouting priority dstnat; policy accept; iifname { "veth0", "wan6" } jump dstnat_wan comment "!fw4: Handle wan dstnat traffic"; }
			chain dstnat_wan {
				meta nfproto {nfproto} tcp dport 20000 counter dnat {ip} to {dnat} comment "!fw4: ss"
				meta nfproto {nfproto} udp dport 20000 counter dnat {ip} to {dnat} comment "!fw4: ss"
			}
		}
		`},
		{name: "OpenWrt, reflected", nft: `table inet fw4{ip} {
			chain dstnat { type nat hook prerouting priority dstnat; policy accept;
				iifname "bridge0" jump dstnat_lan
				iifname "veth0" jump dstnat_wan
			}
			chain srcnat { type nat hook postrouting priority srcnat; policy accept; oifname "bridge0" jump srcnat_lan; }
			chain dstnat_lan {
				{ip} saddr {to}/{length} {ip} daddr {host} tcp dport 20000 dnat {ip} to {dnat} comment "!fw4: ss (reflection)"
				{ip} saddr {to}/{length} {ip} daddr {host} udp dport 20000 dnat {ip} to {dnat} comment "!fw4: ss (reflection)"
			}
			chain srcnat_lan { {ip} saddr {to}/{length} {ip} daddr {to} tcp dport 8388 snat {ip} to {host} comment "!fw4: ss (reflection)"; }
			chain dstnat_wan {
				tcp dport 20000 counter dnat {ip} to {dnat} comment "!fw4: ss"
				udp dport 20000 counter dnat {ip} to {dnat} comment "!fw4: ss"
			}
		}
		`},
		{name: "LXD", nft: `table inet lxd{ip} {
			chain prert.c1.ss { type nat hook prerouting priority dstnat; policy accept;
				{ip} daddr {host} tcp dport 20000 dnat {ip} to {dnat}
				{ip} daddr {host} udp dport 20000 dnat {ip} to {dnat}
			}
			chain out.c1.ss { type nat hook output priority -100; policy accept;
				{ip} daddr {host} tcp dport 20000 dnat {ip} to {dnat}
			}
			chain pstrt.c1.ss { type nat hook postrouting priority srcnat; policy accept;
				{ip} saddr {to} {ip} daddr {to} tcp dport 8388 masquerade
			}
		}
		`},
		{name: "CNI portmap", nft: `table inet cni_hostport{ip} {
			chain prerouting { type nat hook prerouting priority dstnat; policy accept;
				{ip} daddr @hostip jump hostip_hostports
				fib daddr type local jump hostports
			}
			set hostip { type {type}; }
			chain hostports {
				tcp dport 20000 dnat {ip} to {dnat} comment "c1"
				udp dport 20000 dnat {ip} to {dnat} comment "c1"
			}
			chain hostip_hostports { }
			chain masquerading { type nat hook postrouting priority srcnat; policy accept; }
		}
		`},
	})
}
