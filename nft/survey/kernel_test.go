package survey

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// The random rulesets are about ports from firstRandom to lastRandom.
const firstRandom, lastRandom = 100, 140

// TestWalkAgreesWithTheKernel sends packets to 127.0.0.1 through random rules about
// what the walk knows of them. A last chain notes what passes, with its mark.
func TestWalkAgreesWithTheKernel(t *testing.T) {
	rulesets := 60
	if testing.Short() {
		rulesets = 15
	}
	for seed := range rulesets {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			testkit.NetworkNamespace(t)
			script := randomRules{rand.New(rand.NewPCG(uint64(seed), 1))}.script()
			testkit.NFT(t, script)
			want := passing(t)
			for port := firstRandom; port <= lastRandom; port++ {
				send(t, port)
			}
			testkit.Eventually(t, 5*time.Second, func() error {
				if got := noted(t); !maps.Equal(got, want) {
					return fmt.Errorf("passing port: mark\nthe walk  %v\nthe kernel %v\n%s", want, got, script)
				}
				return nil
			})
		})
	}
}

func send(t *testing.T, port int) {
	t.Helper()
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
}

// randomTable is the table of the random rules.
var randomTable = tableID{nftables.TableFamilyIPv4, "rules"}

func dial(tb testing.TB) *netlink.Conn {
	tb.Helper()
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// read reads the ruleset of the test's namespace.
func read(t *testing.T) *ruleset {
	t.Helper()
	rules, err := readRuleset(dial(t))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// passing returns the ports that pass the base chain, with the mark, as the walk
// has it.
func passing(t *testing.T) map[uint16]uint32 {
	t.Helper()
	rules := read(t)
	w := &walker{rules: rules, report: func(_ *chain, p packet, r result) { t.Errorf("%s: %v", r.reason, p.ports) }}
	p := packet{
		family: unix.NFPROTO_IPV4, protocol: accounting.UDP, tracked: true, addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		ports: portSet{{firstRandom, lastRandom}}, mark: [4]cell(constantCells(make([]byte, 4))), connMark: [4]cell(constantCells(make([]byte, 4))),
	}
	marks := make(map[uint16]uint32)
	for _, p := range w.base(rules.chainOf[objectID{randomTable, "base"}], []packet{p}) {
		mark, ok := valueOf(p.mark[:])
		if !ok || p.doubts != 0 {
			t.Errorf("ports %v: mark %v, doubts %b", p.ports, p.mark, p.doubts)
			continue
		}
		for _, r := range p.ports {
			for port := int(r.First); port <= int(r.Last); port++ {
				if earlier, ok := marks[uint16(port)]; ok {
					t.Errorf("port %d passes twice, with mark %d too", port, earlier)
				}
				marks[uint16(port)] = binary.NativeEndian.Uint32(mark)
			}
		}
	}
	return marks
}

// noted returns the ports that the last chain saw, with the mark.
func noted(t *testing.T) map[uint16]uint32 {
	t.Helper()
	seen, err := read(t).set(randomTable, "seen")
	if err != nil {
		t.Fatal(err)
	}
	marks := make(map[uint16]uint32)
	for _, e := range seen.entries {
		marks[binary.BigEndian.Uint16(e.keys.first)] = binary.NativeEndian.Uint32(e.keys.first[4:])
	}
	return marks
}

// randomRules makes up rules.
type randomRules struct{ *rand.Rand }

const randomChains = 5

func (r randomRules) script() string {
	var script strings.Builder
	script.WriteString("table ip rules {\nset seen {\ntype inet_service . mark\nsize 65535\nflags dynamic\n}\n")
	for i := randomChains - 1; i >= 0; i-- {
		fmt.Fprintf(&script, "chain c%d {\n", i)
		r.rules(&script, i+1)
	}
	script.WriteString("chain base {\ntype filter hook prerouting priority mangle\n")
	r.rules(&script, 0)
	script.WriteString("chain last {\ntype filter hook prerouting priority 300\nmeta l4proto udp add @seen { udp dport . meta mark }\n}\n}\n")
	return script.String()
}

// rules ends a chain that may jump to the chains from a number on.
func (r randomRules) rules(script *strings.Builder, from int) {
	for range 2 + r.IntN(6) {
		for range r.IntN(3) {
			script.WriteString(r.condition() + " ")
		}
		script.WriteString(r.action(from) + "\n")
	}
	script.WriteString("}\n")
}

func (r randomRules) port() int { return firstRandom + r.IntN(lastRandom-firstRandom+1) }

// span returns a range of ports.
func (r randomRules) span() string {
	first := r.port()
	return fmt.Sprintf("%d-%d", first, first+1+r.IntN(9))
}

func (r randomRules) pick(choices ...string) string { return choices[r.IntN(len(choices))] }

func (r randomRules) condition() string {
	return r.pick(
		fmt.Sprintf("udp dport %d", r.port()),
		fmt.Sprintf("udp dport != %d", r.port()),
		fmt.Sprintf("udp dport %s", r.span()),
		fmt.Sprintf("udp dport != %s", r.span()),
		fmt.Sprintf("udp dport %s %d", r.pick("<", "<=", ">", ">="), r.port()),
		fmt.Sprintf("udp dport { %d, %d }", r.port(), r.port()),
		fmt.Sprintf("udp dport != { %d, %s }", firstRandom-1, r.span()),
		fmt.Sprintf("udp dport & 0xfff%x == %d", 8+4*r.IntN(2), r.port()&^7),
		fmt.Sprintf("ip daddr . udp dport { 127.0.0.1 . %d, 10.0.0.1 . %d }", r.port(), r.port()),
		fmt.Sprintf("udp dport . ip daddr { %s . 127.0.0.0/8, %s . 10.0.0.0/8 }", r.span(), r.span()),
		fmt.Sprintf("ip daddr . meta l4proto . th dport { 127.0.0.1 . udp . %d, 127.0.0.1 . tcp . %d }", r.port(), r.port()),
		fmt.Sprintf("meta mark %d", r.IntN(8)),
		fmt.Sprintf("meta mark != %d", r.IntN(8)),
		fmt.Sprintf("meta mark %d-%d", r.IntN(4), 4+r.IntN(300)),
		fmt.Sprintf("meta mark and %d == %d", 1+r.IntN(3), r.IntN(2)),
		fmt.Sprintf("ct mark %d", r.IntN(4)),
		r.pick("ip daddr 127.0.0.1", "ip daddr != 127.0.0.1", "ip daddr 126.0.0.0/7", "ip daddr != 10.0.0.0/9", "meta l4proto udp",
			"ip protocol udp", "fib daddr type local", "fib daddr type != local", "ct state new", "ct state established", "meta protocol ip"),
	)
}

func (r randomRules) action(from int) string {
	chain := func() string {
		if from == randomChains {
			return r.pick("accept", "drop", "return", "continue")
		}
		return fmt.Sprintf("%s c%d", r.pick("jump", "goto"), from+r.IntN(randomChains-from))
	}
	middle := firstRandom + 2 + r.IntN(30)
	return r.pick(
		r.pick("accept", "drop", "return", "counter"),
		chain(), chain(), chain(),
		fmt.Sprintf("meta mark set mark or %d", 1<<r.IntN(10)),
		fmt.Sprintf("meta mark set mark and %d", r.IntN(8)),
		fmt.Sprintf("meta mark set mark xor %d", r.IntN(8)),
		fmt.Sprintf("meta mark set udp dport map { %d-%d : 1, %d-%d : 2 }", firstRandom, middle, middle+1, middle+5),
		r.pick("ct mark set meta mark", "meta mark set ct mark", fmt.Sprintf("ct mark set %d", r.IntN(4))),
		fmt.Sprintf("udp dport vmap { %d-%d : %s, %d : %s, %d-%d : %s }", firstRandom, middle-1, chain(), middle, chain(), middle+1, middle+4, chain()),
		fmt.Sprintf("udp dport vmap { %d : %s, * : %s }", r.port(), chain(), chain()),
		fmt.Sprintf("meta mark . udp dport vmap { 0-1 . %s : %s }", r.span(), chain()),
		fmt.Sprintf("meta l4proto vmap { udp : %s, tcp : drop }", chain()),
	)
}
