package survey

import (
	"fmt"
	"net/netip"
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

var equalAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// describe returns a line such as
// `tcp 20000 > 172.17.0.2:8388 in docker0 from 10.0.0.0/8 local maybe`.
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
	for _, source := range t.Sources {
		line += " from " + source.String()
	}
	for _, set := range t.SourceSets {
		line += " from " + set
	}
	if t.LocalOnly {
		line += " local"
	}
	if t.Maybe {
		line += " maybe"
	}
	return line
}

func describePorts(r PortRange) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// found returns what a survey finds, a line each.
func found(t *testing.T) (lines []string) {
	t.Helper()
	survey, err := Read(testHost)
	if err != nil {
		t.Fatal(err)
	}
	for _, translation := range survey.Translations {
		lines = append(lines, describe(translation))
	}
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
	if difference := cmp.Diff(want, found(t), cmpopts.EquateEmpty()); difference != "" {
		t.Errorf("(-want +got)\n%s\n%s", difference, testkit.NFT(t, "list ruleset"))
	}
}

// both returns a line for each protocol.
func both(rest string) []string { return []string{"tcp " + rest, "udp " + rest} }

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
		{"port", "", "", `tcp dport 20000 dnat to 172.17.0.2:8388`, []string{"tcp 20000 > 172.17.0.2 :8388"}},
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
