package publishing_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/publishing"
	"ssmonitor/nft"
	"ssmonitor/nft/ipvs"
	"ssmonitor/nft/survey"
)

// aliceAndBob are the counted ports: one for both protocols, one for TCP alone.
var aliceAndBob = accounting.Ports{
	{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"},
	{Number: 20001, Protocols: accounting.OnlyTCP, Name: "bob"},
}

var (
	docker = survey.Place{Family: "ip", Table: "nat", Chain: "DOCKER"}
	host   = survey.Host{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("172.17.0.1")}, Uplinks: []string{"eth0"}}
)

// to reads targets such as "tcp 172.17.0.2:8388 20000".
func to(texts ...string) (targets []accounting.Target) {
	for _, text := range texts {
		var protocol, address string
		var target accounting.Target
		if _, err := fmt.Sscan(text, &protocol, &address, &target.Port); err != nil {
			panic(err)
		}
		target.Protocol, target.Address = accounting.TCP, netip.MustParseAddrPort(address)
		if protocol == "udp" {
			target.Protocol = accounting.UDP
		}
		targets = append(targets, target)
	}
	return targets
}

// rule returns a rule that translates what is sent to ports by TCP.
func rule(first, last uint16, address string, change ...func(*survey.Translation)) survey.Translation {
	t := survey.Translation{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: first, Last: last}, Target: netip.MustParseAddrPort(address)}
	for _, f := range change {
		f(&t)
	}
	return t
}

// translating returns a scene with nothing but the rules.
func translating(rules ...survey.Translation) publishing.Scene {
	return publishing.Scene{Rules: &survey.Survey{Translations: rules}}
}

func byUDP(t *survey.Translation)   { t.Protocol = accounting.UDP }
func inOther(t *survey.Translation) { t.Place.Chain = "OTHER" }

func inside(t *survey.Translation) { t.Incoming = []string{"docker0"} }

func TestDecide(t *testing.T) {
	const container = "172.17.0.2:8388"
	for _, test := range []struct {
		name      string
		scene     publishing.Scene
		reviews   bool // whether nobody acts on the decision
		named     []accounting.Target
		connected []accounting.Target
		want      []accounting.Target
		transient bool
		entries   bool     // whether connection entries count, too
		findings  []string // LEVEL ID PART
	}{
		{name: "nothing"},
		{name: "a rule", scene: translating(rule(20000, 20000, container), rule(20000, 20000, container, byUDP)), want: to("tcp 172.17.0.2:8388 20000", "udp 172.17.0.2:8388 20000"),
			findings: []string{"ok port-dnat port 20000: published by chain ip nat DOCKER to 172.17.0.2:8388, and counted"}},
		{name: "a rule for all ports, which it keeps", scene: translating(rule(0, 65535, "172.17.0.2:0")),
			want:     to("tcp 172.17.0.2:20000 20000", "tcp 172.17.0.2:20001 20001"),
			findings: []string{"ok port-dnat ports 20000, 20001/tcp: published by chain ip nat DOCKER to 172.17.0.2:20000, 172.17.0.2:20001, and"}},
		{name: "a rule for another protocol", scene: translating(rule(20001, 20001, container, byUDP))},
		{name: "several containers", scene: translating(rule(20000, 20000, "172.17.0.3:8388"), rule(20000, 20000, container)),
			want: to("tcp 172.17.0.2:8388 20000", "tcp 172.17.0.3:8388 20000"), findings: []string{"ok port-dnat port 20000: published by chain ip nat DOCKER to 172.17.0.2:8388, 172.17.0.3:8388"}},
		{name: "a choice of a container's ports", scene: translating(rule(20000, 20000, container, func(t *survey.Translation) { t.LastTargetPort = 8389 })),
			want: to("tcp 172.17.0.2:8388 20000", "tcp 172.17.0.2:8389 20000"), findings: []string{"ok port-dnat to 172.17.0.2:8388, 172.17.0.2:8389"}},
		{name: "too many choices", scene: translating(rule(20000, 20000, container, func(t *survey.Translation) { t.LastTargetPort = 8388 + 256 })),
			entries: true, findings: []string{"note port-dnat to one of the ports 8388-8644 of 172.17.0.2"}},
		{name: "too many choices from its own number on", scene: translating(rule(20000, 20000, "172.17.0.2:20000", func(t *survey.Translation) { t.LastTargetPort = 65535 })),
			entries: true, findings: []string{"note port-dnat to one of the ports 20000-65535 of 172.17.0.2"}},
		{name: "named", named: to("udp 172.17.0.9:1 20000"), want: to("udp 172.17.0.9:1 20000"), findings: []string{"ok port-dnat by the settings"}},
		{name: "what is named has precedence", named: to("tcp 172.17.0.2:8388 20001"),
			scene: translating(rule(20000, 20000, container)),
			want:  to("tcp 172.17.0.2:8388 20001"), entries: true, findings: []string{"note shared-target counts as port 20001", "ok port-dnat port 20001/tcp"}},
		{name: "two ports to one container", scene: translating(rule(20000, 20001, container)),
			want: to("tcp 172.17.0.2:8388 20000"), entries: true, findings: []string{"note shared-target ports 20000 and 20001 are both published to tcp 172.17.0.2:8388", "ok port-dnat port 20000: "}},
		{name: "a port that is not counted, to the same container", scene: translating(rule(20000, 20000, container), rule(30000, 30000, container), rule(30001, 30001, container, byUDP), rule(30002, 30009, container), rule(30010, 30010, container, inside)),
			want: to("tcp 172.17.0.2:8388 20000"), findings: []string{"ok port-dnat port 20000", "note shared-target port 30000, which is not counted, is published to tcp 172.17.0.2:8388 as well"}},
		{name: "to another port of the host", scene: translating(rule(20000, 20000, "172.17.0.1:9000")),
			findings: []string{"wrong port-dnat redirected to port 9000 by chain ip nat DOCKER, before hook host can count"}},
		{name: "to a port of the host that is not counted by UDP", scene: translating(rule(20000, 20000, "127.0.0.1:20001", byUDP)),
			findings: []string{"wrong port-dnat redirected to port 20001 by chain ip nat DOCKER, before hook host can count"}},
		{name: "what is not counted by UDP, to another port of the host", scene: translating(rule(20001, 20001, "127.0.0.1:9000", byUDP))},
		{name: "to a counted port of the host", scene: translating(rule(20000, 20000, "127.0.0.1:20001")),
			findings: []string{"note port-dnat port 20000: redirected to port 20001 by chain ip nat DOCKER: counts as that port"}},
		{name: "to some ports of the host", scene: translating(rule(20000, 20000, "127.0.0.1:9000", func(t *survey.Translation) { t.LastTargetPort = 9009 })),
			findings: []string{"wrong port-dnat add \"9000-9009\" to the ports in"}},
		{name: "to the same port of the host", scene: translating(rule(20000, 20000, "192.0.2.1:0"))},
		{name: "what containers send, to a port of the host", scene: translating(rule(20000, 20000, "172.17.0.1:9000", inside))},
		{name: "what containers send, to a proxy", scene: translating(rule(20000, 20000, "172.31.0.2:3129", inside)), entries: true,
			findings: []string{"note port-dnat port 20000: chain ip nat DOCKER translates it for what arrives by docker0, to 172.31.0.2:3129: counted where the connection entry shows"}},
		{name: "what is sent to other hosts, to a proxy", scene: translating(rule(20000, 20000, "172.31.0.2:3129", func(t *survey.Translation) { t.LeavesOut = true })), entries: true,
			findings: []string{"note port-dnat port 20000: chain ip nat DOCKER translates it for what is not sent to some addresses of this host, to 172.31.0.2:3129"}},
		{name: "what certain senders send, to a proxy", scene: translating(rule(20000, 20000, "172.31.0.2:3129", func(t *survey.Translation) {
			t.SourceSets, t.Sources = []string{"@clients"}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}),
		), entries: true,
			findings: []string{"note port-dnat port 20000: chain ip nat DOCKER translates it for senders in @clients, 10.0.0.0/8, to 172.31.0.2:3129"}},
		{name: "the same, with a connection", scene: publishing.Scene{Redirected: to("tcp 172.31.0.2:3129 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(20000, 20000, "172.31.0.2:3129", inside)}}},
			entries: true, findings: []string{"note port-dnat"}},
		{name: "the same, with connections", scene: publishing.Scene{Installed: to("tcp 172.31.0.2:3129 20000"), Redirected: to("tcp 172.31.0.2:3129 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(20000, 20000, "172.31.0.2:3129", inside)}}},
			connected: to("tcp 172.31.0.2:3129 20000"), entries: true, findings: []string{"note port-dnat"}},
		{name: "a connection shows it", scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:8388 20000")},
			want: to("tcp 172.17.0.2:8388 20000"), transient: true, findings: []string{"ok port-dnat a rule that is gone or can't be read, as connections show"}},
		{name: "a connection to a port that is not counted", scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:8388 20002")}, transient: true},
		{name: "connections to this host", scene: publishing.Scene{Redirected: to("tcp 127.0.0.1:8388 20000", "tcp 172.17.0.1:8388 20000")}},
		{name: "IPVS", scene: publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("192.0.2.1:20000"),
			Servers: []netip.AddrPort{netip.MustParseAddrPort("172.17.0.2:0"), netip.MustParseAddrPort("172.17.0.3:80")}}}},
			want: to("tcp 172.17.0.2:20000 20000", "tcp 172.17.0.3:80 20000"), findings: []string{"ok port-dnat by IPVS"}},
		{name: "IPVS by a mark", scene: publishing.Scene{Services: []ipvs.Service{{Mark: 7, Servers: []netip.AddrPort{netip.MustParseAddrPort(container)}}}},
			findings: []string{"unknown port-dnat mark 7"}},
		{name: "IPVS by a mark, without servers", scene: publishing.Scene{Services: []ipvs.Service{{Mark: 7}}}},
		{name: "IPVS for all ports", scene: publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("192.0.2.1:0"),
			Servers: []netip.AddrPort{netip.MustParseAddrPort("172.17.0.2:0")}}}},
			want: to("tcp 172.17.0.2:20000 20000", "tcp 172.17.0.2:20001 20001"), findings: []string{"ok port-dnat ports 20000, 20001/tcp: published by IPVS"}},
		{name: "IPVS at an address of others", scene: publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("192.0.2.9:20000"),
			Servers: []netip.AddrPort{netip.MustParseAddrPort(container)}}}}},
		{name: "the rule is gone, a connection is left", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000", "tcp 172.17.0.3:8388 20001")},
			connected: to("tcp 172.17.0.2:8388 20000"), want: to("tcp 172.17.0.2:8388 20000"), transient: true, findings: []string{"ok port-dnat port 20000: "}},
		{name: "the address is another's", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(20001, 20001, container)}}},
			connected: to("tcp 172.17.0.2:8388 20000"), want: to("tcp 172.17.0.2:8388 20001"), findings: []string{"ok port-dnat port 20001/tcp: "}},
		{name: "the address is that of another, which is not counted", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Redirected: to("tcp 172.17.0.2:8388 20000"),
			Rules:      &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, container)}}},
			connected: to("tcp 172.17.0.2:8388 20000"), entries: true},
		{name: "the same, without a connection", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, container)}}}},
		{name: "the same, at the next look", scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, container)}}}, entries: true},
		{name: "the address is one that another, which is not counted, chooses from", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, "172.17.0.2:8380", func(t *survey.Translation) { t.LastTargetPort = 8390 })}}},
			connected: to("tcp 172.17.0.2:8388 20000"), entries: true},
		{name: "the address is in a DMZ now", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(8000, 9000, "172.17.0.2:0")}}},
			connected: to("tcp 172.17.0.2:8388 20000"), entries: true},
		{name: "another port of the address is published", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, "172.17.0.2:8389"), rule(30000, 30000, container, byUDP)}}},
			connected: to("tcp 172.17.0.2:8388 20000"), want: to("tcp 172.17.0.2:8388 20000"), transient: true, findings: []string{"ok port-dnat port 20000: "}},
		{name: "a rule can't be read", scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"), Rules: &survey.Survey{Unread: []error{errors.New("EIO")}}},
			want: to("tcp 172.17.0.2:8388 20000"), transient: true, findings: []string{"ok port-dnat port 20000: "}},
		{name: "the container has the number", scene: translating(rule(30000, 30000, "172.17.0.2:20000")),
			findings: []string{"wrong port-published-as count it as port 20000: add \"20000@172.17.0.2:20000\" to the ports in"}},
		{name: "the container has the number, and so has a program", scene: publishing.Scene{
			Listens: func(accounting.Protocol, uint16) bool { return true },
			Rules:   &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, "172.17.0.2:20000")}}}},
		{name: "a container has the number, but not for clients that are counted", scene: translating(rule(30000, 30000, "172.17.0.2:20001", byUDP), rule(30000, 30009, "172.17.0.3:20000", inside), rule(30010, 30010, "172.17.0.4:20000", inside))},
		{name: "the container has the number, and that is named", named: to("tcp 172.17.0.2:20000 20000"),
			scene: translating(rule(30000, 30000, "172.17.0.2:20000")),
			want:  to("tcp 172.17.0.2:20000 20000"), findings: []string{"ok port-dnat"}},
		{name: "at an address of others", scene: publishing.Scene{Rules: &survey.Survey{Elsewhere: []survey.Translation{rule(20000, 20000, container)}}},
			findings: []string{"note port-dnat if these are routed to this host, name where the port leads: add \"20000@172.17.0.2:8388\" to the ports in"}},
		{name: "at an address of others, for several senders", scene: publishing.Scene{Rules: &survey.Survey{Elsewhere: []survey.Translation{
			rule(20000, 20000, container), rule(20000, 20000, container, inside),
		}}}, findings: []string{"note port-dnat port 20000"}},
		{name: "at an address of others, to this host", scene: publishing.Scene{Rules: &survey.Survey{Elsewhere: []survey.Translation{rule(20000, 20000, "172.17.0.1:9000")}}}},
		{name: "at an address of others, and named", named: to("tcp 172.17.0.2:8388 20000"),
			scene: publishing.Scene{Rules: &survey.Survey{Elsewhere: []survey.Translation{rule(20000, 20000, container)}}},
			want:  to("tcp 172.17.0.2:8388 20000"), findings: []string{"ok port-dnat"}},
		{name: "not understood", scene: publishing.Scene{Rules: &survey.Survey{Unresolved: []survey.Unresolved{
			{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: 20001, Last: 65535}, Reason: "an unknown expression"},
			{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: 1, Last: 2}, Reason: "an unknown expression"},
		}}}, entries: true, findings: []string{"unknown port-dnat port 20001/tcp: chain ip nat DOCKER may publish it in a way that is not understood (an unknown expression)"}},
		{name: "stateless", scene: publishing.Scene{Rules: &survey.Survey{Unresolved: []survey.Unresolved{
			{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: 20001, Last: 65535}, Reason: "it rewrites", Stateless: true}}}},
			findings: []string{"unknown port-dnat port 20001/tcp: chain ip nat DOCKER may publish it (it rewrites): not counted"}},
		{name: "stateless, at hook container", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{Unresolved: []survey.Unresolved{
			{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: 20001, Last: 65535}, Reason: "it rewrites", Stateless: true}}}},
			findings: []string{"unknown port-dnat this may be before hook container counts"}},
		{name: "a container with the number, under another one", scene: translating(rule(18388, 18388, "172.17.0.2:20000"), rule(18388, 18388, "172.17.0.2:20000", byUDP)),
			findings: []string{"wrong port-published-as port 20000: chain ip nat DOCKER publishes it as port 18388: what clients send there, to 172.17.0.2:20000, is not counted\n" +
				`count it as port 20000: add "20000@172.17.0.2:20000" to the ports in /etc/ssmonitor/clients.yaml, then ssmonitor setup` + "\n" + `or as port 18388: add "18388"`}},
		{name: "the same at hook container", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{Translations: []survey.Translation{rule(18388, 18388, "172.17.0.2:20000")}}},
			findings: []string{"wrong port-published-as is not counted\n" + `count it as port 18388: add "18388" to`}},
		{name: "under many numbers", scene: translating(rule(30000, 40000, "172.17.0.2:20000")),
			findings: []string{`wrong port-published-as publishes it as ports 30000-40000: what clients send there, to 172.17.0.2:20000, is not counted` + "\n" + `count it as port 20000: add "20000@172.17.0.2:20000"`}},
		{name: "under many numbers, at hook container", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 40000, "172.17.0.2:20000")}}},
			findings: []string{`wrong port-published-as hook: host`}},
		{name: "a port of the host under many numbers", scene: translating(rule(30000, 40000, "127.0.0.1:20000", byUDP))},
		{name: "a port of the host under many numbers, at hook container", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 40000, "127.0.0.1:20000", byUDP)}},
			Listens: func(accounting.Protocol, uint16) bool { return true }},
			findings: []string{`wrong port-published-as port 20000: chain ip nat DOCKER publishes it as ports 30000-40000`}},
		{name: "under another number and its own", scene: translating(rule(20000, 20000, "172.17.0.2:20000"), rule(18388, 18388, "172.17.0.2:20000", inOther)),
			want: to("tcp 172.17.0.2:20000 20000"), findings: []string{"ok port-dnat", "note shared-target port 18388, which is not counted"}},
		{name: "under two counted numbers", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{Translations: []survey.Translation{rule(20000, 20000, "172.17.0.2:20001")}}},
			findings: []string{"ok port-dnat port 20000: published by chain ip nat DOCKER to 172.17.0.2:20001, after being counted"}},
		{name: "IPVS under another number", scene: publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("192.0.2.1:18388"),
			Servers: []netip.AddrPort{netip.MustParseAddrPort("172.17.0.2:20000")}}}},
			findings: []string{`wrong port-published-as port 20000: IPVS publishes it as port 18388: what clients send there, to 172.17.0.2:20000, is not counted` + "\n" + `count it as port 20000: add "20000@172.17.0.2:20000"`}},
		{name: "iptables-legacy, under another number", scene: publishing.Scene{Redirected: to("udp 172.17.0.2:20000 18388", "tcp 172.17.0.2:20000 18388", "tcp 172.17.0.3:9000 9000", "tcp 192.0.2.1:20000 1"),
			Rules: &survey.Survey{LegacyNAT: true}}, entries: true,
			findings: []string{"unknown legacy-nat", "wrong port-published-as port 20000: a rule that can't be read, as connections show, publishes it as port 18388: what clients send there, to 172.17.0.2:20000, is not counted"}},
		{name: "iptables-legacy, under many numbers", scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:20000 18388", "tcp 172.17.0.2:20000 18390"),
			Rules: &survey.Survey{LegacyNAT: true}}, entries: true,
			findings: []string{"unknown legacy-nat", "wrong port-published-as publishes it as ports 18388-18390"}},
		{name: "rules that can be read, under another number", scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:20000 18388"), Rules: &survey.Survey{Translations: []survey.Translation{rule(18388, 18388, "172.17.0.2:20000")}}},
			entries: true, findings: []string{"wrong port-published-as chain ip nat DOCKER"}},
		{name: "a rule that is gone, under another number", scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:20000 18388")}, transient: true},
		{name: "iptables-legacy, looked at", scene: publishing.Scene{Rules: &survey.Survey{LegacyNAT: true}}, entries: true, findings: []string{"unknown legacy-nat iptables-legacy -t nat -S"}},
		{name: "iptables-legacy", scene: publishing.Scene{Rules: &survey.Survey{LegacyNAT: true}}, entries: true, findings: []string{"unknown legacy-nat hook: container"}},
		{name: "a flowtable", scene: publishing.Scene{Rules: &survey.Survey{Offloads: []survey.Offload{{Place: docker, Flowtable: "fast"}}}}, findings: []string{"ok flow-offload none of these"}},
		{name: "a flowtable and a published port", scene: publishing.Scene{Rules: &survey.Survey{Offloads: []survey.Offload{{Place: docker, Flowtable: "fast"}}}},
			named: to("tcp 172.17.0.2:8388 20000"), want: to("tcp 172.17.0.2:8388 20000"), findings: []string{"ok port-dnat", "wrong flow-offload flow add @fast"}},
		{name: "a flowtable and rules that can't be read", scene: publishing.Scene{Rules: &survey.Survey{LegacyNAT: true, Offloads: []survey.Offload{{Place: docker, Flowtable: "fast"}}}},
			entries: true, findings: []string{"unknown legacy-nat", "wrong flow-offload flow add @fast"}},
		{name: "the same at hook container", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{LegacyNAT: true, Offloads: []survey.Offload{{Place: docker, Flowtable: "fast"}}}},
			findings: []string{"wrong flow-offload flow add @fast"}},
		{name: "a transparent proxy", scene: publishing.Scene{Rules: &survey.Survey{Transparent: []survey.Transparent{
			{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: 1, Last: 65535}}, {Place: docker, Protocol: accounting.UDP, Ports: survey.PortRange{First: 1, Last: 65535}},
			{Place: survey.Place{Family: "ip", Table: "x", Chain: "y"}, Protocol: accounting.UDP, Ports: survey.PortRange{First: 1, Last: 9}}}}},
			findings: []string{"note transparent-proxy ports 20000, 20001/tcp: chain ip nat DOCKER hands what is sent to such a port of other servers"}},
		{name: "for other addresses", scene: publishing.Scene{Rules: &survey.Survey{Elsewhere: []survey.Translation{
			rule(20000, 20000, container), rule(20000, 20001, "172.17.0.4:0", inOther), rule(20000, 20000, "172.17.0.3:1"), rule(30000, 30000, "172.17.0.3:1")}}},
			findings: []string{"note port-dnat port 20000: chain ip nat DOCKER and 1 more translate it to 172.17.0.2:8388, 172.17.0.3:1, 172.17.0.4:20000 for addresses",
				"note port-dnat port 20001: chain ip nat OTHER translates it to 172.17.0.4:20001 for addresses"}},
		{name: "a connection that entries count", reviews: true, scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:8388 20000"), Rules: &survey.Survey{LegacyNAT: true}},
			entries: true, findings: []string{"unknown legacy-nat"}},
		{name: "a connection that the table counts, too", reviews: true, scene: publishing.Scene{Redirected: to("tcp 172.17.0.2:8388 20000"), Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{LegacyNAT: true}}, want: to("tcp 172.17.0.2:8388 20000"), entries: true, findings: []string{"unknown legacy-nat", "ok port-dnat"}},
		{name: "connections in any order", scene: publishing.Scene{Redirected: to("tcp 172.17.0.3:8388 20000", "tcp 172.17.0.2:8388 20000")},
			want: to("tcp 172.17.0.2:8388 20000", "tcp 172.17.0.3:8388 20000"), transient: true, findings: []string{"ok port-dnat to 172.17.0.2:8388, 172.17.0.3:8388, and"}},
		{name: "nobody acts on it", reviews: true, scene: publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{rule(20000, 20000, container)}}},
			want: to("tcp 172.17.0.2:8388 20000"), findings: []string{"wrong port-dnat where it is not counted"}},
		{name: "nobody needs to", reviews: true, scene: publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000"),
			Rules: &survey.Survey{Translations: []survey.Translation{rule(20000, 20000, container)}}},
			want: to("tcp 172.17.0.2:8388 20000"), findings: []string{"ok port-dnat and counted"}},
		{name: "hook container", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{
			Translations: []survey.Translation{rule(20000, 20000, container)}, Offloads: []survey.Offload{{Place: docker, Flowtable: "fast"}}, LegacyNAT: true,
		}}, findings: []string{"ok port-dnat after being counted", "wrong flow-offload @fast"}},
		{name: "hook container and a rule for all ports", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{Translations: []survey.Translation{rule(0, 65535, "172.17.0.2:0")}}},
			findings: []string{"ok port-dnat ports 20000, 20001/tcp: published by chain ip nat DOCKER to 172.17.0.2, after being counted"}},
		{name: "hook container and nothing that is forwarded", scene: publishing.Scene{Hook: nft.HookContainer, Rules: &survey.Survey{
			Translations: []survey.Translation{rule(20000, 20000, "172.17.0.1:9000")}, Offloads: []survey.Offload{{Place: docker, Flowtable: "fast"}},
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			scene := test.scene
			complete(&scene)
			scene.Connected = func([]accounting.Target) ([]accounting.Target, error) { return test.connected, nil }
			decide := scene.Decide
			if test.reviews {
				decide = scene.Review
			}
			decision, err := decide(aliceAndBob, test.named)
			if err != nil {
				t.Fatal(err)
			}
			if want := test.transient || test.entries; !slices.Equal(decision.Targets, test.want) || decision.Transient != want || !decision.Known {
				t.Errorf("got the targets %v, transient %t, known %t, want %v, %t, true", decision.Targets, decision.Transient, decision.Known, test.want, want)
			}
			if entries := slices.Equal(decision.Addresses, []netip.Addr{netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("192.0.2.1")}); entries != test.entries {
				t.Errorf("got the addresses %v, want some: %t", decision.Addresses, test.entries)
			}
			wantFindings(t, decision.Findings, test.findings)
		})
	}
}

// The kernel lists entries in another order each time, and some of the targets linger.
func TestDecideInAnyOrder(t *testing.T) {
	targets := to("tcp 172.17.0.2:8388 20000", "tcp 172.17.0.2:8388 20001", "tcp 172.17.0.3:8388 20000", "tcp 172.17.0.1:8389 20001", "tcp 172.17.0.4:1 20001")
	backwards := slices.Clone(targets)
	slices.Reverse(backwards)
	decide := func(redirected, installed []accounting.Target) publishing.Decision {
		scene := publishing.Scene{Redirected: redirected, Installed: installed}
		complete(&scene)
		scene.Connected = func(targets []accounting.Target) ([]accounting.Target, error) { return targets, nil }
		decision, err := scene.Decide(aliceAndBob, nil)
		if err != nil {
			t.Fatal(err)
		}
		return decision
	}
	want := decide(targets, nil)
	for _, got := range []publishing.Decision{decide(backwards, nil), decide(targets, to("tcp 172.17.0.4:1 20001", "tcp 172.17.0.2:8388 20000"))} {
		if !slices.Equal(got.Targets, want.Targets) || !slices.Equal(got.Findings, want.Findings) {
			t.Errorf("got %v and\n%q\nwant %v and\n%q", got.Targets, got.Findings, want.Targets, want.Findings)
		}
	}
}

// complete sets what a test leaves out.
func complete(scene *publishing.Scene) {
	if scene.Hook == "" {
		scene.Hook = nft.HookHost
	}
	if scene.Rules == nil {
		scene.Rules = &survey.Survey{}
	}
	if scene.Host.Addresses == nil {
		scene.Host = host
	}
	if scene.Listens == nil {
		scene.Listens = func(accounting.Protocol, uint16) bool { return false }
	}
}

func wantFindings(t *testing.T, got []finding.Finding, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got the findings\n%+v\nwant\n%q", got, want)
	}
	for i, f := range got {
		words := strings.SplitN(want[i], " ", 3)
		part := strings.Join(words[2:], "")
		if f.Level.String() != words[0] || string(f.ID) != words[1] || !strings.Contains(f.Message+"\n"+f.Remedy, part) {
			t.Errorf("got %s %s %s\n%s\nwant %s", f.Level, f.ID, f.Message, f.Remedy, want[i])
		}
		if f.Level >= finding.Unknown && f.Remedy == "" {
			t.Errorf("%s: there is no remedy", f.Message)
		}
	}
}

func TestDecideWithoutConnections(t *testing.T) {
	scene := publishing.Scene{Installed: to("tcp 172.17.0.2:8388 20000")}
	complete(&scene)
	refused := errors.New("refused")
	scene.Connected = func([]accounting.Target) ([]accounting.Target, error) { return nil, refused }
	if _, err := scene.Decide(aliceAndBob, nil); !errors.Is(err, refused) {
		t.Errorf("got %v, want the failure", err)
	}
}

// TestDecideForManyTargets has a rule that chooses from the ports of many containers.
func TestDecideForManyTargets(t *testing.T) {
	var rules survey.Survey
	for inside := 1; inside <= 5000; inside++ {
		rules.Translations = append(rules.Translations, rule(20000, 20000, fmt.Sprintf("172.17.0.2:%d", inside)))
	}
	scene := publishing.Scene{Rules: &rules}
	complete(&scene)
	decision, err := scene.Decide(aliceAndBob, nil)
	if err != nil || len(decision.Targets) != 4096 || len(decision.Addresses) == 0 {
		t.Errorf("got %d targets, the addresses %v, %v", len(decision.Targets), decision.Addresses, err)
	}
	wantFindings(t, decision.Findings, []string{"note port-dnat port 20000: published by chain ip nat DOCKER to more than 4096 targets", "ok port-dnat port 20000: published by chain ip nat DOCKER to"})
}

// TestAddressesOfConnections has addresses in forms that packets don't have.
func TestAddressesOfConnections(t *testing.T) {
	var list []netip.Addr
	for _, address := range []string{"fe80::1%eth0", "fe80::1%eth1", "::1", "::ffff:192.0.2.1", "127.0.0.1"} {
		list = append(list, netip.MustParseAddr(address))
	}
	scene := publishing.Scene{Host: survey.Host{Addresses: list}, Rules: &survey.Survey{LegacyNAT: true}}
	complete(&scene)
	decision, err := scene.Decide(aliceAndBob, nil)
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")}; err != nil || !slices.Equal(decision.Addresses, want) {
		t.Errorf("got %v, %v, want %v", decision.Addresses, err, want)
	}
}

// TestDecideForEveryPort has a rule for a DMZ host and every port counted, which
// must not take a time that grows with the square.
func TestDecideForEveryPort(t *testing.T) {
	var ports accounting.Ports
	for number := 1; number < 1<<16; number++ {
		ports = append(ports, accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP})
	}
	scene := publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{
		rule(0, 65535, "172.17.0.2:0"), rule(0, 65535, "172.17.0.2:0", byUDP),
	}}}
	complete(&scene)
	decision, err := scene.Review(ports, nil)
	if err != nil || len(decision.Targets) != 2*len(ports) {
		t.Errorf("got %d targets, %v, want %d", len(decision.Targets), err, 2*len(ports))
	}
	wantFindings(t, decision.Findings, []string{"wrong port-dnat ports 1-65535: published by chain ip nat DOCKER to 172.17.0.2:1, 172.17.0.2:2, 172.17.0.2:3 and 65532 more"})
}
