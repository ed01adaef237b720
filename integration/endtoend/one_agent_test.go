package endtoend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestOneAgentPerNetworkNamespace starts agents that share nothing but the
// network namespace.
func TestOneAgentPerNetworkNamespace(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	first := server.startCounting(t, "--port", "20000")
	right := server.listing(t)

	another := newProduct(t, server.namespace) // with directories of its own
	for _, p := range []product{server, another} {
		second := p.startAgent(t, "--port", "20001")
		second.endsWith(t, 1, fmt.Sprint(first.command.Process.Pid))
	}
	first.waitServing(t, 20000)
	server.waitTable(t, right, 0)

	newServer(t).startCounting(t, "--port", "20000").stop(t)

	// Nothing is left of an agent that was killed.
	first.kill()
	another.startCounting(t, "--port", "20001").stop(t)
}

// TestSetupReportsThatTheAgentDoesNotFollowTheList runs setup while an agent
// serves the ports of its own flags. The agent logs the counters that belong to
// no port that it knows, and removes them if they are still unknown at the next
// tick.
func TestSetupReportsThatTheAgentDoesNotFollowTheList(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	server := newServer(t)
	agent := server.startCounting(t, "--interval", interval.String(), "--port", "20000")
	setup := begin(t, server.ssmonitor(nil, "setup", "--list", server.list, "--port", "20000-20001"))
	setup.wait(t)
	if said := setup.stdout.String() + setup.stderr.String(); !strings.Contains(said, "does not follow") {
		t.Errorf("setup does not say that the agent does not follow the list:\n%s", said)
	}
	agent.waitSaying(t, "20001")
	for seen := time.Now(); ; { // the next tick comes later
		listing := server.listing(t)
		if time.Since(seen) > interval/2 {
			break
		}
		if !strings.Contains(listing, `udp . 20001 : "udp-20001-in"`) {
			t.Fatalf("%s after the tick that sees it first, port 20001 is not counted any more", time.Since(seen))
		}
	}
	server.waitOnePort(t)
	agent.waitServing(t, 20000)
	agent.stop(t)
}
