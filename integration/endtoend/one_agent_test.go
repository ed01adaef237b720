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
	require(t)
	t.Parallel()
	server := newServer(t)
	first := server.startCounting(t, "--port", "20000")
	right := server.listing(t)

	another := newProduct(t, server.namespace) // with directories of its own
	second := another.startAgent(t, "--port", "20001")
	select {
	case <-second.done:
	case <-time.After(patience):
		second.kill()
		t.Errorf("a second agent with a state of its own runs at the same time as the first:\n%s", &second.stderr)
	}
	second.endsWith(t, 1, fmt.Sprint(first.command.Process.Pid))
	first.waitServing(t, 20000)
	server.waitTable(t, right, 0)

	elsewhere := newServer(t).startAgent(t, "--port", "20000")
	elsewhere.waitServing(t, 20000)
	elsewhere.stop(t)

	// Nothing is left of an agent that was killed.
	first.kill()
	second = another.startCounting(t, "--port", "20001")
	second.stop(t)
}

// TestSetupReportsThatTheAgentDoesNotFollowTheList runs setup while an agent
// serves the ports of its own flags. The agent logs the counters that belong to
// no port that it knows, and removes them if they are still unknown at the next
// tick.
func TestSetupReportsThatTheAgentDoesNotFollowTheList(t *testing.T) {
	require(t)
	t.Parallel()
	const interval = time.Second
	server := newServer(t)
	agent := server.startCounting(t, "--interval", interval.String(), "--port", "20000")
	time.Sleep(interval / 2) // the first tick that sees them comes half an interval later
	began := time.Now()
	setup := begin(t, server.ssmonitor(nil, "setup", "--ports", server.list, "--port", "20000-20001"))
	setup.wait(t)
	if said := setup.stdout.String() + setup.stderr.String(); !strings.Contains(said, "does not follow") {
		t.Errorf("setup does not say that the agent does not follow the list:\n%s", said)
	}
	for {
		listing := server.listing(t)
		if time.Since(began) > interval*9/10 {
			break
		}
		if !strings.Contains(listing, `udp . 20001 : "udp-20001-in"`) {
			t.Errorf("after %s, less than an interval, port 20001 is not counted any more", time.Since(began))
			break
		}
	}
	server.waitOnePort(t)
	agent.waitSaying(t, "20001")
	agent.waitServing(t, 20000)
	agent.stop(t)
}

// TestSetupForAnAgentThatFollowsTheListSaysNothingOfIt has the agent serve the
// list that setup writes.
func TestSetupDoesNotMentionAnAgentThatFollowsTheList(t *testing.T) {
	require(t)
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", "20000")
	agent := server.startCounting(t, "--ports", server.list)
	setup := begin(t, server.ssmonitor(nil, "setup", "--ports", server.list, "--port", "20000-20001"))
	setup.endsWith(t, 0)
	if said := setup.stdout.String() + setup.stderr.String(); strings.Contains(said, "does not follow") {
		t.Errorf("setup says that the agent does not follow its list:\n%s", said)
	}
	agent.waitServing(t, 20000, 20001)
	agent.stop(t)
}
