package survey

import (
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// wantSurvey compares a whole survey: anything that is not in want must not be
// found.
func wantSurvey(t *testing.T, want Survey) {
	t.Helper()
	got, err := Read(testHost)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(&want, got, equalAddresses, cmpopts.EquateEmpty()); difference != "" {
		t.Errorf("(-want +got)\n%s", difference)
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
	// As `nft --debug=netlink` shows "flow add @fast".
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: 1, Data: []byte("fast\x00")}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: 1, Data: []byte("flow_offload\x00")}, {Type: 2, Data: name}})
	if err != nil {
		t.Fatal(err)
	}
	offload, err := decodeExpression(byte(nftables.TableFamilyINet), data)
	if err != nil {
		t.Fatal(err)
	}
	place := Place{"inet", "firewall", "forward"}
	rules := &ruleset{chains: []*chain{{place: place, rules: []rule{{expressions: []any{offload}}}}}}
	if difference := cmp.Diff([]Offload{{place, "fast"}}, rules.offloads()); difference != "" {
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

func TestReadWithoutRights(t *testing.T) {
	testkit.NetworkNamespace(t)
	dropCapabilities(t)
	if _, err := Read(testHost); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission", err)
	}
}

