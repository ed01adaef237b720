package survey

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

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
	if difference := cmp.Diff(&want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); difference != "" {
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

// TestOffloadDecoding needs no kernel with flowtables, which few machines for tests have.
func TestOffloadDecoding(t *testing.T) {
	// As `nft --debug=netlink` shows "flow add @fast".
	offload, err := decodeExpression(byte(nftables.TableFamilyINet), expression(t, "flow_offload", netlink.Attribute{Type: 1, Data: []byte("fast\x00")}))
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
// variants, rules of nft, and rules that do more than count one port.
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
	testkit.NFT(t, `table inet firewall { chain input { type filter hook input priority 0
		meta nfproto ipv6 tcp dport 20003 counter
		meta l4proto { tcp, udp } th dport 20004 counter
		tcp dport { 20005, 20007 } counter
		tcp dport 20006 counter meta mark set ct mark
		counter tcp dport vmap { 20006 : accept }
	}; }`)
	testkit.NFT(t, "table ip6 ssmonitor { chain input { type filter hook input priority 0; ip6 nexthdr udp th dport 20008 counter; }; }")
	filter := func(chain string) Place { return Place{"ip", "filter", chain} }
	wantSurvey(t, Survey{CountingRules: []Place{
		filter("INPUT"), filter("INPUT"), filter("OUTPUT"), filter("OUTPUT"), filter("FORWARD"), filter("FORWARD"),
		{"inet", "firewall", "input"}, {"ip6", "ssmonitor", "input"},
	}})
}

// TestTransparentProxies has rules for what is sent to other hosts, and for what is
// sent to this one.
func TestTransparentProxies(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, `table ip proxy {
		chain c { type filter hook prerouting priority mangle
			fib daddr type local tcp dport 80 tproxy to :1080
			ip daddr 192.0.2.1 tcp dport 81 tproxy to :1080
			fib daddr type != local udp dport 53 tproxy to :1080
			iifname "bridge0" jump more
		}
		chain more { ip daddr != 10.0.0.0/8 tcp dport { 443, 444 } tproxy to :1080 meta mark set 1 accept; }
	}`)
	iptables(t, "iptables-nft", "-t mangle -A PREROUTING -p udp --dport 1:9 -m addrtype ! --dst-type LOCAL -j TPROXY --on-port 1080")
	iptables(t, "iptables-nft", "-t mangle -A PREROUTING -p udp --dport 10 -m addrtype --dst-type LOCAL -j TPROXY --on-port 1080")
	proxied := func(table, chain string, protocol accounting.Protocol, first, last uint16) Transparent {
		return Transparent{Place{"ip", table, chain}, protocol, PortRange{first, last}}
	}
	wantSurvey(t, Survey{Transparent: []Transparent{
		proxied("mangle", "PREROUTING", accounting.UDP, 1, 9),
		proxied("proxy", "c", accounting.UDP, 53, 53),
		proxied("proxy", "more", accounting.TCP, 443, 444),
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
		{"later, by a verdict map", "chain c { type filter hook input priority 100; tcp dport vmap { 1 : accept, 2 : drop }; }", nft.HookHost, "c"},
		{"later, by a map that does not drop", "chain c { type filter hook input priority 100; tcp dport vmap { 1 : accept }; }", nft.HookHost, ""},
		{"later, by a map that leads to a chain twice", "chain a { counter; }\n chain d { drop; }\n" +
			"chain c { type filter hook input priority 100; tcp dport vmap { 1 : jump a, 2 : jump a, 3 : jump d }; }", nft.HookHost, "c"},
		{"later, of type nat, which only first packets pass", "chain c { type nat hook output priority 100; tcp dport 1 drop; }", nft.HookHost, ""},
		{"later, of type route", "chain c { type route hook output priority 100; policy drop; }", nft.HookHost, "c"},
		{"earlier, of type route", "chain c { type route hook output priority mangle; policy drop; }", nft.HookHost, ""},
		{"after output", "chain c { type filter hook postrouting priority -300; policy drop; }", nft.HookHost, "c"},
		{"after output, dropping nothing", "chain c { type filter hook postrouting priority -300; counter; }", nft.HookHost, ""},
		{"in a chain that another base chain jumps to",
			"chain d { drop; }\n chain b { type filter hook input priority -10; jump d; }\n chain c { type filter hook input priority 100; accept; }", nft.HookHost, ""},
		{"after postrouting of the container hook", "chain c { type filter hook postrouting priority srcnat + 20; policy drop; }", nft.HookContainer, "c"},
		{"before postrouting of the container hook", "chain c { type filter hook postrouting priority srcnat; policy drop; }", nft.HookContainer, ""},
		{"the firewall behind the container hook", "chain c { type filter hook input priority filter; policy drop; }", nft.HookContainer, ""},
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

// TestLaterRejection has a rule of iptables in a chain that one of nft jumps to.
func TestLaterRejection(t *testing.T) {
	testkit.NetworkNamespace(t)
	install(t, nft.HookHost)
	iptables(t, "iptables-nft", "-N late")
	iptables(t, "iptables-nft", "-A late -p tcp --dport 1 -j REJECT")
	testkit.NFT(t, "table ip filter { chain c { type filter hook input priority 100; jump late; }; }")
	wantSurvey(t, Survey{LaterDropChains: []Place{{"ip", "filter", "c"}}})
}

func TestMirrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		chain string // of table ip mirror, ending in a rule without its statement
		want  []Mirror
	}{
		{"output", "type filter hook output priority 0\n", []Mirror{{Sent: true}}},
		{"postrouting", "type filter hook postrouting priority 0\noifname \"eth0\"", []Mirror{{Sent: true, Forwarded: true}}},
		{"forward", "type filter hook forward priority 0\n", []Mirror{{Forwarded: true}}},
		{"prerouting", "type filter hook prerouting priority 0\n", []Mirror{{Forwarded: true}}},
		{"prerouting, by the uplink", "type filter hook prerouting priority 0\niifname \"eth0\"", nil},
		{"prerouting, by interfaces like the uplink", "type filter hook prerouting priority 0\niifname \"eth*\"", []Mirror{{Forwarded: true}}},
		{"prerouting, by a bridge", "type filter hook prerouting priority 0\niifname \"bridge0\"", []Mirror{{Forwarded: true}}},
		{"input", "type filter hook input priority 0\n", nil},
		{"output, another protocol", "type filter hook output priority 0\nip protocol icmp", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			testkit.NFT(t, "table ip mirror {\nchain c {\n"+test.chain+" dup to 192.0.2.9\n}\n}")
			want := Survey{Mirrors: test.want}
			for i := range want.Mirrors {
				want.Mirrors[i].Place = Place{"ip", "mirror", "c"}
			}
			wantSurvey(t, want)
		})
	}
}

func TestIptablesMirror(t *testing.T) {
	testkit.NetworkNamespace(t)
	iptables(t, "ip6tables-nft", "-t mangle -N COPY")
	iptables(t, "ip6tables-nft", "-t mangle -A COPY -j TEE --gateway fd00::9")
	wantSurvey(t, Survey{})
	iptables(t, "ip6tables-nft", "-t mangle -A POSTROUTING -p udp -j COPY")
	wantSurvey(t, Survey{Mirrors: []Mirror{{Place: Place{"ip6", "mangle", "COPY"}, Sent: true, Forwarded: true}}})
}

func TestLegacyNAT(t *testing.T) {
	directory, modules := t.TempDir(), t.TempDir()
	for _, test := range []struct {
		file, content string
		nat           bool
		tables        []LegacyTable
	}{
		{"ip_tables_names", "filter\n", false, []LegacyTable{{"ip", "filter"}}},
		{"ip6_tables_names", "mangle\nnat\n", true, []LegacyTable{{"ip", "filter"}, {"ip6", "mangle"}, {"ip6", "nat"}}},
		{"ip6_tables_names", "", false, []LegacyTable{{"ip", "filter"}}},
		{"ip_tables_names", "filter\nnat\n", true, []LegacyTable{{"ip", "filter"}, {"ip", "nat"}}},
	} {
		if err := os.WriteFile(filepath.Join(directory, test.file), []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if tables, err := LegacyTables(directory); err != nil || !slices.Equal(tables, test.tables) || legacyNAT(directory, modules) != test.nat {
			t.Errorf("%s: got %v, %v, want %v, and that one translates: %t", test.file, tables, err, test.tables, test.nat)
		}
	}

	// A user who may not read the files.
	loaded := t.TempDir()
	for _, path := range []string{filepath.Dir(modules), modules, directory, loaded} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(loaded, "ip6table_nat"), 0o755); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // and never unlock: the thread ends with the test
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.SetfsuidRetUid(0) }() // to remove the files
	if legacyNAT(directory, modules) || !legacyNAT(directory, loaded) {
		t.Error("without the right to read, the module says whether there is a table nat")
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
	testkit.DropCapabilities(t)
	if _, err := Read(testHost); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission", err)
	}
}
