package paths

import (
	"fmt"
	"testing"
)

// TestFragmentsOfIPv4 sends datagrams that take two fragments each. At input the
// kernel has reassembled them. At prerouting conntrack has, where it is in use:
// without it only the first fragment has a port, and is counted.
func TestFragmentsOfIPv4(t *testing.T) {
	const (
		size          = 2900
		firstFragment = 1500 // the MTU of the client's device
		conntrack     = "table inet filter { chain input { type filter hook input priority 0; ct state new counter; }; }"
	)
	onlyFirst := func(carried traffic) traffic {
		carried.in = datagramCount * firstFragment
		return carried
	}
	all := func(carried traffic) traffic { return carried }
	for _, test := range []struct {
		name, hook, ruleset string
		want                func(carried traffic) traffic
	}{
		{"host", "host", "", all},
		{"container", "container", "", onlyFirst},
		{"container with conntrack", "container", conntrack, all},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.server.nft(t, test.ruleset)
			l.server.echo(t, "")
			l.startAgent(t, "--hook", test.hook, "--port", fmt.Sprint(countedPort))
			l.counts(t, transfer{"udp", serverIPv4, countedPort, size}, test.want)
		})
	}
}
