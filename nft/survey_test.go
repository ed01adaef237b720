package nft

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

func survey(t *testing.T, options Options) *Survey {
	t.Helper()
	found, err := open(t, options).Survey()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Unread) > 0 {
		t.Errorf("could not be read: %v", found.Unread)
	}
	return found
}

// wantSurvey compares all of a survey: what is not in expected must not be found.
func wantSurvey(t *testing.T, options Options, expected Survey) {
	t.Helper()
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if difference := cmp.Diff(&expected, survey(t, options), equal); difference != "" {
		t.Errorf("(-want +got)\n%s", difference)
	}
}

// iptables runs iptables-nft or ip6tables-nft in the test's namespace.
func iptables(t *testing.T, command, arguments string) {
	t.Helper()
	testkit.Require(t, command)
	if output, err := exec.Command(command, strings.Fields(arguments)...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", command, arguments, err, output)
	}
}

var docker = Place{"ip", "nat", "DOCKER"}

func ports(ranges ...uint16) (list []PortRange) {
	for i := 0; i < len(ranges); i += 2 {
		list = append(list, PortRange{ranges[i], ranges[i+1]})
	}
	return list
}

func TestSurveyTranslations(t *testing.T) {
	container := netip.MustParseAddr("172.17.0.2")
	for rule, want := range map[string]*Translation{
		`iifname != "docker0" tcp dport 20000 counter dnat to 172.17.0.2:8388`: {
			Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: container, Port: 8388},
		`udp dport { 20000, 21000-21005, 65000-65535 } dnat to 172.17.0.2`: {
			Protocols: accounting.OnlyUDP, Ports: ports(20000, 20000, 21000, 21005, 65000, 65535), Address: container},
		`meta l4proto { tcp, udp } th dport { 20000, 20002 } dnat to 172.17.0.2`: {
			Protocols: accounting.TCPAndUDP, Ports: ports(20000, 20000, 20002, 20002), Address: container},
		`ip protocol tcp ct state new ct mark 1 meta mark 5 th dport 20000 dnat to 172.17.0.2`: {
			Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: container},
		`tcp dport > 20000 tcp dport < 20003 tcp dport != 80 dnat to 172.17.0.2`: {
			Protocols: accounting.OnlyTCP, Ports: ports(20001, 20002), Address: container},
		`dnat to tcp dport map { 30000 : 10.0.0.2, 30001 : 10.0.0.3 }`: {
			Protocols: accounting.OnlyTCP, Ports: ports(30000, 30000, 30001, 30001), Mapped: true},
		`dnat ip to tcp dport map { 30010 : 10.0.0.2 . 8388 }`: {
			Protocols: accounting.OnlyTCP, Ports: ports(30010, 30010), Mapped: true},
		`udp dport 40000-40010 redirect to :50000`: {
			Protocols: accounting.OnlyUDP, Ports: ports(40000, 40010), Port: 50000},
		`udp dport 40000 dnat to :50000`: {
			Protocols: accounting.OnlyUDP, Ports: ports(40000, 40000), Port: 50000},
		// None of these names a port of a destination.
		`ip daddr 192.0.2.1 dnat to 172.17.0.2`:                     nil,
		`tcp sport 20000 dnat to 172.17.0.2`:                        nil,
		`tcp dport 20000 counter accept`:                            nil,
		`tcp dport 20000 tcp dport 1 redirect`:                      nil,
		`ip daddr . tcp dport { 192.0.2.1 . 1 } dnat to 172.17.0.2`: nil,
	} {
		t.Run(rule, func(t *testing.T) {
			inNamespace(t)
			nftCommand(t, `table ip nat {
				chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local counter jump DOCKER; }
				chain OUTPUT { type nat hook output priority -100; tcp dport 20009 dnat to 172.17.0.9; }
				chain DOCKER { `+rule+`; }
			}`)
			var expected Survey
			if want != nil {
				want.Place = docker
				expected.Translations = []Translation{*want}
			}
			wantSurvey(t, Options{}, expected)
		})
	}
}

func TestSurveyTranslationsOfIptables(t *testing.T) {
	for _, test := range []struct {
		command, rule string
		want          Translation
	}{
		{"iptables-nft", "-p tcp ! -i docker0 --dport 20000 -j DNAT --to-destination 172.17.0.2:8388",
			Translation{Place: docker, Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: netip.MustParseAddr("172.17.0.2"), Port: 8388}},
		{"iptables-nft", "-p udp -m udp --dport 20000:20005 -j DNAT --to-destination 172.17.0.2",
			Translation{Place: docker, Protocols: accounting.OnlyUDP, Ports: ports(20000, 20005), Address: netip.MustParseAddr("172.17.0.2")}},
		{"iptables-nft", "-p udp -m multiport --dports 20000,20007:20009,1 -j REDIRECT --to-ports 443",
			Translation{Place: docker, Protocols: accounting.OnlyUDP, Ports: ports(20000, 20000, 20007, 20009, 1, 1), Port: 443}},
		{"ip6tables-nft", "-p tcp -m tcp --dport 20000 -j DNAT --to-destination [fd00::2]:8388",
			Translation{Place: Place{"ip6", "nat", "DOCKER"}, Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: netip.MustParseAddr("fd00::2"), Port: 8388}},
	} {
		t.Run(test.command+" "+test.rule, func(t *testing.T) {
			inNamespace(t)
			iptables(t, test.command, "-t nat -N DOCKER")
			iptables(t, test.command, "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER")
			iptables(t, test.command, "-t nat -A DOCKER "+test.rule)
			wantSurvey(t, Options{}, Survey{Translations: []Translation{test.want}})
		})
	}
}

func TestTranslationCovers(t *testing.T) {
	translation := Translation{Protocols: accounting.OnlyTCP, Ports: ports(1, 1, 10, 12)}
	for _, test := range []struct {
		number    uint16
		protocols accounting.Protocols
		want      bool
	}{
		{1, accounting.OnlyTCP, true}, {12, accounting.TCPAndUDP, true},
		{12, accounting.OnlyUDP, false}, {13, accounting.OnlyTCP, false}, {2, accounting.OnlyTCP, false},
	} {
		if got := translation.Covers(accounting.Port{Number: test.number, Protocols: test.protocols}); got != test.want {
			t.Errorf("port %d, %v: %t", test.number, test.protocols, got)
		}
	}
}

func TestSurveyOffloads(t *testing.T) {
	inNamespace(t)
	nftCommand(t, "list tables") // or nft is missing
	const flowtable = `table inet firewall { flowtable fast { hook ingress priority filter; devices = { lo }; }; }`
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(flowtable)
	if output, err := command.CombinedOutput(); err != nil {
		// A kernel without them can't be given one, not in CI either: the next
		// test does without.
		t.Skipf("this kernel has no flowtable (CONFIG_NF_FLOW_TABLE): %v\n%s", err, output)
	}
	nftCommand(t, `table inet firewall {
		chain forward { type filter hook forward priority filter; meta l4proto { tcp, udp } flow add @fast; }
	}`)
	wantSurvey(t, Options{}, Survey{Offloads: []Offload{{Place{"inet", "firewall", "forward"}, "fast"}}})
}

func TestSurveyOffloadsWithoutAKernel(t *testing.T) {
	// As `nft --debug=netlink` shows "meta l4proto tcp flow add @fast".
	offload := &expr.FlowOffload{}
	name := append([]byte{9, 0, 1, 0}, "fast\x00"...)
	if err := expr.Unmarshal(byte(nftables.TableFamilyINet), name, offload); err != nil {
		t.Fatal(err)
	}
	reading, err := readRule([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{6}},
		offload,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &surveyor{dropping: make(map[Place]bool)}
	s.rule(&nftables.Chain{Name: "forward", Table: &nftables.Table{Name: "firewall", Family: nftables.TableFamilyINet}}, reading)
	want := Survey{Offloads: []Offload{{Place{"inet", "firewall", "forward"}, "fast"}}}
	if difference := cmp.Diff(want, s.found); difference != "" {
		t.Errorf("(-want +got)\n%s", difference)
	}
}

// The rules of the blog post, and a few that are unlike them.
func TestSurveyCounters(t *testing.T) {
	inNamespace(t)
	for _, rule := range []string{
		"INPUT -p tcp -m tcp --dport 20000", "OUTPUT -p tcp -m tcp --sport 20000", "INPUT -p udp --dport 20001",
		"INPUT -p tcp --dport 20000 -j ACCEPT", "INPUT -p tcp --sport 20000", "INPUT -p tcp --dport 1:9",
		"OUTPUT -p tcp --dport 20000", "FORWARD -p tcp --dport 20000", "INPUT -p icmp", "INPUT",
	} {
		iptables(t, "iptables-nft", "-A "+rule)
	}
	wantSurvey(t, Options{}, Survey{Counters: []PortCounter{
		{Place{"ip", "filter", "INPUT"}, accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.In}},
		{Place{"ip", "filter", "INPUT"}, accounting.Key{Port: 20001, Protocol: accounting.UDP, Direction: accounting.In}},
		{Place{"ip", "filter", "OUTPUT"}, accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.Out}},
	}})
}

func TestSurveyLateFilters(t *testing.T) {
	for name, test := range map[string]struct {
		table string
		hook  Hook
		late  string // chain; empty: none
	}{
		"firewalld comes before": {"chain c { type filter hook input priority filter + 10; policy drop; }", HookHost, ""},
		"the same priority":      {"chain c { type filter hook input priority filter + 40; policy drop; }", HookHost, "c"},
		"later, by a rule":       {"chain c { type filter hook output priority security; tcp dport 1 reject; }", HookHost, "c"},
		"later, in another chain": {
			"chain d { drop; }\n chain c { type filter hook input priority 100; jump d; }", HookHost, "c"},
		"later, drops nothing":  {"chain c { type filter hook input priority security; meta mark set 1 accept; }", HookHost, ""},
		"at another hook":       {"chain c { type filter hook forward priority security; policy drop; }", HookHost, ""},
		"before the containers": {"chain c { type filter hook prerouting priority raw; policy drop; }", HookContainer, ""},
		"after the containers":  {"chain c { type filter hook prerouting priority mangle + 50; policy drop; }", HookContainer, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			nftCommand(t, "table inet late {\n"+test.table+"\n}")
			var expected Survey
			if test.late != "" {
				expected.LateFilters = []Place{{"inet", "late", test.late}}
			}
			wantSurvey(t, Options{Hook: test.hook}, expected)
		})
	}
}

func TestSurveyLeavesOurselvesOut(t *testing.T) {
	for _, hook := range []Hook{HookHost, HookContainer} {
		inNamespace(t)
		table := open(t, Options{Hook: hook})
		install(t, table, portList(3))
		nftCommand(t, "table arp filter { chain input { type filter hook input priority 0; policy drop; }; }")
		before := nftCommand(t, "list ruleset")
		wantSurvey(t, Options{Hook: hook}, Survey{})
		if after := nftCommand(t, "list ruleset"); after != before {
			t.Errorf("the survey changed\n%s\nto\n%s", before, after)
		}
		if findings, err := table.Verify(portList(3)); err != nil || len(findings) > 0 {
			t.Errorf("after a survey verifying finds %q, %v", findings, err)
		}
	}
}
