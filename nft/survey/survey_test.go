package survey

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// wantSurvey compares a whole survey: anything that is not in want must not be
// found.
func wantSurvey(t *testing.T, want Survey) {
	t.Helper()
	got, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if difference := cmp.Diff(&want, got, equal); difference != "" {
		t.Errorf("(-want +got)\n%s", difference)
	}
}

var docker = Place{"ip", "nat", "DOCKER"}

func ports(ranges ...uint16) (list []PortRange) {
	for i := 0; i < len(ranges); i += 2 {
		list = append(list, PortRange{ranges[i], ranges[i+1]})
	}
	return list
}

func TestDNATs(t *testing.T) {
	container := netip.MustParseAddr("172.17.0.2")
	for _, test := range []struct {
		name string // the rule
		want *DNAT  // nil: it redirects no port
	}{
		{`iifname != "docker0" tcp dport 20000 counter dnat to 172.17.0.2:8388`,
			&DNAT{Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: container, Port: 8388}},
		{`udp dport { 20000, 21000-21005, 65000-65535 } dnat to 172.17.0.2`,
			&DNAT{Protocols: accounting.OnlyUDP, Ports: ports(20000, 20000, 21000, 21005, 65000, 65535), Address: container}},
		{`meta l4proto { tcp, udp } th dport { 20000, 20002 } dnat to 172.17.0.2`,
			&DNAT{Protocols: accounting.TCPAndUDP, Ports: ports(20000, 20000, 20002, 20002), Address: container}},
		{`ip protocol tcp ct state new ct mark 1 meta mark 5 th dport 20000 dnat to 172.17.0.2`,
			&DNAT{Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: container}},
		{`tcp dport > 20000 tcp dport < 20003 tcp dport != 80 dnat to 172.17.0.2`,
			&DNAT{Protocols: accounting.OnlyTCP, Ports: ports(20001, 20002), Address: container}},
		{`dnat to tcp dport map { 30000 : 10.0.0.2, 30001 : 10.0.0.3 }`,
			&DNAT{Protocols: accounting.OnlyTCP, Ports: ports(30000, 30000, 30001, 30001), Mapped: true}},
		// As netavark writes it.
		{`ip daddr 192.0.2.1 tcp dport 20000 dnat ip to 10.88.0.2:8388`,
			&DNAT{Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: netip.MustParseAddr("10.88.0.2"), Port: 8388}},
		{`dnat ip to tcp dport map { 30010 : 10.0.0.2 . 8388 }`,
			&DNAT{Protocols: accounting.OnlyTCP, Ports: ports(30010, 30010), Mapped: true}},
		{`udp dport 40000-40010 redirect to :50000`,
			&DNAT{Protocols: accounting.OnlyUDP, Ports: ports(40000, 40010), Port: 50000}},
		{`udp dport 40000 dnat to :50000`,
			&DNAT{Protocols: accounting.OnlyUDP, Ports: ports(40000, 40000), Port: 50000}},
		{`ip daddr 192.0.2.1 dnat to 172.17.0.2`, nil},
		{`tcp sport 20000 dnat to 172.17.0.2`, nil},
		{`tcp dport 20000 counter accept`, nil},
		{`tcp dport 20000 tcp dport 1 redirect`, nil},
		{`ip daddr . tcp dport { 192.0.2.1 . 1 } dnat to 172.17.0.2`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			testkit.NFT(t, `table ip nat {
				chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local counter jump DOCKER; }
				chain OUTPUT { type nat hook output priority -100; tcp dport 20009 dnat to 172.17.0.9; }
				chain DOCKER { `+test.name+`; }
			}`)
			var want Survey
			if test.want != nil {
				test.want.Place = docker
				want.DNATs = []DNAT{*test.want}
			}
			wantSurvey(t, want)
		})
	}
}

func TestDNATsOfIptables(t *testing.T) {
	for _, test := range []struct {
		command, rule string
		want          DNAT
	}{
		{"iptables-nft", "-p tcp ! -i docker0 --dport 20000 -j DNAT --to-destination 172.17.0.2:8388",
			DNAT{Place: docker, Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: netip.MustParseAddr("172.17.0.2"), Port: 8388}},
		{"iptables-nft", "-p udp -m udp --dport 20000:20005 -j DNAT --to-destination 172.17.0.2",
			DNAT{Place: docker, Protocols: accounting.OnlyUDP, Ports: ports(20000, 20005), Address: netip.MustParseAddr("172.17.0.2")}},
		{"iptables-nft", "-p udp -m multiport --dports 20000,20007:20009,1 -j REDIRECT --to-ports 443",
			DNAT{Place: docker, Protocols: accounting.OnlyUDP, Ports: ports(20000, 20000, 20007, 20009, 1, 1), Port: 443}},
		{"ip6tables-nft", "-p tcp -m tcp --dport 20000 -j DNAT --to-destination [fd00::2]:8388",
			DNAT{Place: Place{"ip6", "nat", "DOCKER"}, Protocols: accounting.OnlyTCP, Ports: ports(20000, 20000), Address: netip.MustParseAddr("fd00::2"), Port: 8388}},
	} {
		t.Run(test.command+" "+test.rule, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			iptables(t, test.command, "-t nat -N DOCKER")
			iptables(t, test.command, "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER")
			iptables(t, test.command, "-t nat -A DOCKER "+test.rule)
			wantSurvey(t, Survey{DNATs: []DNAT{test.want}})
		})
	}
}

func TestDNATCovers(t *testing.T) {
	dnat := DNAT{Protocols: accounting.OnlyTCP, Ports: ports(1, 1, 10, 12)}
	for _, test := range []struct {
		number    uint16
		protocols accounting.Protocols
		want      bool
	}{
		{1, accounting.OnlyTCP, true}, {12, accounting.TCPAndUDP, true},
		{12, accounting.OnlyUDP, false}, {13, accounting.OnlyTCP, false}, {2, accounting.OnlyTCP, false},
	} {
		if got := dnat.Covers(accounting.Port{Number: test.number, Protocols: test.protocols}); got != test.want {
			t.Errorf("port %d, %v: got %t, want %t", test.number, test.protocols, got, test.want)
		}
	}
}

func TestDNATForwards(t *testing.T) {
	here, container := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("172.17.0.2")
	for _, test := range []struct {
		name string
		dnat DNAT
		want bool
	}{
		{"container", DNAT{Address: container, Port: 8388}, true},
		{"map", DNAT{Mapped: true}, true},
		{"redirect", DNAT{Port: 8388}, false},
		{"this host", DNAT{Address: here}, false},
		{"loopback", DNAT{Address: netip.MustParseAddr("127.0.0.1")}, false},
	} {
		if got := test.dnat.Forwards([]netip.Addr{here}); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

func TestGenerationAdvancesWithEveryChange(t *testing.T) {
	testkit.NetworkNamespace(t)
	var generations []uint32
	for _, change := range []string{"list ruleset", "add table ip nat", "list ruleset", "add chain ip nat DOCKER"} {
		testkit.NFT(t, change)
		generation, err := Generation()
		if err != nil {
			t.Fatal(err)
		}
		generations = append(generations, generation)
	}
	first := generations[0]
	if want := []uint32{first, first + 1, first + 1, first + 2}; !slices.Equal(generations, want) {
		t.Errorf("got the generations %v, want %v", generations, want)
	}
}

func TestOffloads(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, "list tables") // skips if nft is missing
	const flowtable = `table inet firewall { flowtable fast { hook ingress priority filter; devices = { lo }; }; }`
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(flowtable)
	if output, err := command.CombinedOutput(); err != nil {
		// CI can't add what the kernel lacks, so this is a skip there too.
		// TestOffloadDecoding covers the decoding.
		t.Skipf("this kernel has no flowtable (CONFIG_NF_FLOW_TABLE): %v\n%s", err, output)
	}
	testkit.NFT(t, `table inet firewall {
		chain forward { type filter hook forward priority filter; meta l4proto { tcp, udp } flow add @fast; }
	}`)
	wantSurvey(t, Survey{Offloads: []Offload{{Place{"inet", "firewall", "forward"}, "fast"}}})
}

func TestOffloadDecoding(t *testing.T) {
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

// TestCountingRules has the rules of the blog post, their UDP and FORWARD
// variants, and rules that do more than count one port.
func TestCountingRules(t *testing.T) {
	testkit.NetworkNamespace(t)
	for _, rule := range []string{
		"INPUT -p tcp -m tcp --dport 20000", "OUTPUT -p tcp -m tcp --sport 20000", "INPUT -p udp --dport 20001", "OUTPUT -p udp --sport 20001",
		"FORWARD -p tcp --dport 20002", "FORWARD -p udp --sport 20002",
		"INPUT -p tcp --dport 20000 -j ACCEPT", "INPUT -p tcp --sport 20000", "INPUT -p tcp --dport 1:9",
		"OUTPUT -p tcp --dport 20000", "FORWARD -p tcp --dport 1:9", "FORWARD -p udp --dport 1 -j DROP", "FORWARD -p udp",
		"INPUT -p icmp", "INPUT",
	} {
		iptables(t, "iptables-nft", "-A "+rule)
	}
	iptables(t, "iptables-nft", "-t mangle -A PREROUTING -p tcp --dport 20000")
	rule := func(chain string, port uint16, protocol accounting.Protocol, direction accounting.Direction) CountingRule {
		return CountingRule{Place{"ip", "filter", chain}, accounting.Key{Port: port, Protocol: protocol, Direction: direction}}
	}
	wantSurvey(t, Survey{CountingRules: []CountingRule{
		rule("INPUT", 20000, accounting.TCP, accounting.In),
		rule("INPUT", 20001, accounting.UDP, accounting.In),
		rule("OUTPUT", 20000, accounting.TCP, accounting.Out),
		rule("OUTPUT", 20001, accounting.UDP, accounting.Out),
		rule("FORWARD", 20002, accounting.TCP, accounting.In),
		rule("FORWARD", 20002, accounting.UDP, accounting.Out),
	}})
}

func TestLaterDropChains(t *testing.T) {
	for _, test := range []struct {
		name  string
		table string
		hook  nft.Hook
		want  string // a chain; empty: none
	}{
		{"firewalld is earlier", "chain c { type filter hook input priority filter + 10; policy drop; }", nft.HookHost, ""},
		{"same priority", "chain c { type filter hook input priority filter + 40; policy drop; }", nft.HookHost, "c"},
		{"later, by a rule", "chain c { type filter hook output priority security; tcp dport 1 reject; }", nft.HookHost, "c"},
		{"later, in a chain that it jumps to",
			"chain d { drop; }\n chain c { type filter hook input priority 100; jump d; }", nft.HookHost, "c"},
		{"later, drops nothing", "chain c { type filter hook input priority security; meta mark set 1 accept; }", nft.HookHost, ""},
		{"another hook", "chain c { type filter hook forward priority security; policy drop; }", nft.HookHost, ""},
		{"before the container hook", "chain c { type filter hook prerouting priority raw; policy drop; }", nft.HookContainer, ""},
		{"after the container hook", "chain c { type filter hook prerouting priority mangle + 50; policy drop; }", nft.HookContainer, "c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			install(t, test.hook)
			testkit.NFT(t, "table inet late {\n"+test.table+"\n}")
			var want Survey
			if test.want != "" {
				want.LaterDropChains = []Place{{"inet", "late", test.want}}
			}
			wantSurvey(t, want)
		})
	}
}

func TestOwnTableIsNotSurveyed(t *testing.T) {
	for _, hook := range []nft.Hook{nft.HookHost, nft.HookContainer} {
		t.Run(string(hook), func(t *testing.T) {
			testkit.NetworkNamespace(t)
			install(t, hook)
			testkit.NFT(t, "table inet ssmonitor { chain theirs { type filter hook input priority filter + 50; policy drop; tcp dport 1 counter; tcp dport 2 drop; }; }")
			testkit.NFT(t, "table arp filter { chain input { type filter hook input priority 0; policy drop; }; }")
			before := testkit.NFT(t, "list ruleset")
			wantSurvey(t, Survey{})
			if after := testkit.NFT(t, "list ruleset"); after != before {
				t.Errorf("the survey changed\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	reader := func(string) ([]nftables.SetElement, error) { return nil, errors.New("no such set") }
	_, err := readRule([]expr.Any{
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: 1},
		&expr.Lookup{SourceRegister: 1, SetName: "ports"},
	}, reader)
	if err == nil {
		t.Error("a set that can't be read is no error")
	}
}

func TestReadWithoutRights(t *testing.T) {
	testkit.NetworkNamespace(t)
	dropCapabilities(t)
	if _, err := Read(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission", err)
	}
}

// TestPortsOfAdjacentIntervals has an interval begin where another ends, in the
// order of a kernel's dump.
func TestPortsOfAdjacentIntervals(t *testing.T) {
	element := func(port uint16, end bool) nftables.SetElement {
		return nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, port), IntervalEnd: end}
	}
	got, ok := elementPorts([]nftables.SetElement{
		element(301, true), element(201, false), element(201, true), element(100, false), element(0, true),
	})
	if want := ports(100, 200, 201, 300); !ok || !slices.Equal(got, want) {
		t.Errorf("got %v, %t, want %v", got, ok, want)
	}
}
