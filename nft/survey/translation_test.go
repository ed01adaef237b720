package survey

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ssmonitor/internal/testkit"
)

// testHost has two addresses of each family, and one uplink.
var testHost = Host{
	Addresses: []netip.Addr{
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"),
		netip.MustParseAddr("::1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1%eth0"),
	},
	Uplinks: []string{"eth0"},
}

// describe returns a line such as
// `tcp 20000 > 172.17.0.2:8388 in docker0 from 10.0.0.0/8 local`.
func describe(t Translation) string {
	line := fmt.Sprintf("%s %s >", t.Protocol, describePorts(t.Ports))
	if t.Target.Addr().IsValid() {
		line += " " + t.Target.Addr().String()
	}
	if t.Target.Port() != 0 {
		line += fmt.Sprintf(" :%d", t.Target.Port())
	}
	if t.LastTargetPort != 0 {
		line += fmt.Sprintf("-%d", t.LastTargetPort)
	}
	for _, name := range t.Incoming {
		line += " in " + name
	}
	for _, name := range t.Excluded {
		line += " not in " + name
	}
	if t.UnknownSender {
		line += " from some"
	}
	for _, source := range t.Sources {
		line += " from " + source.String()
	}
	for _, set := range t.SourceSets {
		line += " from " + set
	}
	if t.LocalOnly {
		line += " local"
	}
	if t.LeavesOut {
		line += " but"
	}
	return line
}

func describeAll(translations []Translation) (lines []string) {
	for _, translation := range translations {
		lines = append(lines, describe(translation))
	}
	return lines
}

func describePorts(r PortRange) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// found returns what a survey finds in a number of steps, a line each.
func found(t *testing.T, steps int) (lines []string) {
	t.Helper()
	rules := read(t)
	rules.maxSteps = steps
	survey := rules.survey(testHost)
	lines = describeAll(survey.Translations)
	for _, u := range survey.Unresolved {
		lines = append(lines, fmt.Sprintf("%s %s ? %s", u.Protocol, describePorts(u.Ports), u.Reason))
	}
	for _, err := range survey.Unread {
		lines = append(lines, "unread: "+err.Error())
	}
	return lines
}

func wantFound(t *testing.T, want []string) {
	t.Helper()
	if difference := cmp.Diff(want, found(t, maxSteps), cmpopts.EquateEmpty()); difference != "" {
		t.Errorf("(-want +got)\n%s\n%s", difference, testkit.NFT(t, "list ruleset"))
	}
}

// both returns a line for each protocol.
func both(rest string) []string { return []string{"tcp " + rest, "udp " + rest} }

func TestTranslationOutgoing(t *testing.T) {
	for _, test := range []struct {
		name        string
		translation Translation
		want        bool
	}{
		{"unrestricted", Translation{}, false},
		{"from a bridge", Translation{Incoming: []string{"bridge0"}}, true},
		{"from the uplink", Translation{Incoming: []string{"bridge0", "eth0"}}, false},
		{"from interfaces like the uplink", Translation{Incoming: []string{"eth*"}}, false},
		{"from interfaces unlike the uplink", Translation{Incoming: []string{"eth0.*"}}, true},
		{"from a bridge to this host", Translation{Incoming: []string{"bridge0"}, LocalOnly: true}, false},
		{"from a network", Translation{Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, true},
		{"what is for other hosts", Translation{LeavesOut: true}, true},
		{"what is for other hosts, from the uplink", Translation{LeavesOut: true, Incoming: []string{"eth0"}}, true},
		{"from all but the uplink", Translation{Excluded: []string{"eth*"}}, true},
		{"from all but a bridge", Translation{Excluded: []string{"bridge0"}}, false},
		{"to this host from all but the uplink", Translation{Excluded: []string{"eth0"}, LocalOnly: true}, false},
		{"from some senders", Translation{UnknownSender: true}, true},
		{"from some senders by the uplink", Translation{UnknownSender: true, Incoming: []string{"eth0"}}, false},
		{"from a set", Translation{SourceSets: []string{"@clients"}}, true},
		{"from a network by the uplink", Translation{Incoming: []string{"eth0"}, Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
	} {
		if got := test.translation.Outgoing(testHost); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

func TestTranslationForwards(t *testing.T) {
	for _, test := range []struct {
		target string
		want   bool
	}{
		{"172.17.0.2:8388", true}, {"[fd00::2]:0", true}, {"192.0.2.1:8388", false}, {"127.0.0.1:8388", false}, {"127.0.0.53:53", false}, {"[::1]:8388", false},
	} {
		if got := (Translation{Target: netip.MustParseAddrPort(test.target)}).Forwards(testHost); got != test.want {
			t.Errorf("%s: got %t, want %t", test.target, got, test.want)
		}
	}
	if (Translation{Target: netip.AddrPortFrom(netip.Addr{}, 8388)}).Forwards(testHost) {
		t.Error("a redirection forwards")
	}
}

func TestPortRangeContains(t *testing.T) {
	for port, want := range map[uint16]bool{9: false, 10: true, 11: true, 12: true, 13: false} {
		if got := (PortRange{10, 12}).Contains(port); got != want {
			t.Errorf("port %d: got %t, want %t", port, got, want)
		}
	}
}

// TestTranslationsBeyondTheLimits has rulesets that take too long to follow: what
// is not followed is reported.
func TestTranslationsBeyondTheLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long, and asks little of the kernel")
	}
	var marks strings.Builder
	for bit := range 13 { // as many kinds of packets as subsets of these
		fmt.Fprintf(&marks, "ip ttl %d meta mark set mark or %d; ", bit, 1<<bit)
	}
	for _, test := range []struct {
		name, table, rules string
		steps              int
		want               string
	}{
		{"steps", "", "tcp dport 1 accept; tcp dport 2 accept; tcp dport 20000 dnat to 172.17.0.2", 6, "tcp 2-65535 ? the rules are too many to follow"},
		{"steps in a chain", "chain c {\ntcp dport 2 accept\ntcp dport 20000 dnat to 172.17.0.2\n}", "tcp dport > 9 jump c; tcp dport 20000 accept", 6,
			"tcp 10-65535 ? the rules are too many to follow"},
		{"kinds of packets", "", marks.String() + "tcp dport 20000 dnat to 172.17.0.2", maxSteps, "tcp 1-65535 ? the rules tell too many kinds of packets apart"},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			testkit.NFT(t, nat("ip", test.table, test.rules))
			got := found(t, test.steps)
			if !slices.Contains(got, test.want) {
				t.Errorf("got %q, want also %q", got, test.want)
			}
		})
	}
}
