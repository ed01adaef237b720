package endtoend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDormantTableIsRepaired sets the flag that unhooks all chains of a table.
func TestDormantTableIsRepaired(t *testing.T) {
	require(t)
	const dormant = "add table inet ssmonitor { flags dormant; }\n"

	t.Run("by the running agent", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		agent := server.startCounting(t, "--port", fmt.Sprint(countedPort))
		right := server.listing(t)
		server.nft(t, dormant)
		server.waitTable(t, right, 2*agentInterval)
		agent.waitSaying(t, "dormant")
		server.sendToItself(t, countedPort, 10)
		agent.expectPackets(t, 10, map[int]uint64{countedPort: 10})
		agent.stop(t)
	})

	t.Run("by an agent that starts", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		agent := server.startCounting(t, "--port", fmt.Sprint(countedPort))
		right := server.listing(t)
		server.sendToItself(t, countedPort, 10)
		agent.stop(t)
		server.nft(t, dormant)
		agent = server.startCounting(t, "--port", fmt.Sprint(countedPort))
		server.waitTable(t, right, 2*agentInterval)
		server.sendToItself(t, countedPort, 5)
		agent.expectPackets(t, 15, map[int]uint64{countedPort: 15})
		agent.stop(t)
	})

	t.Run("by setup, after check has named it", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		server.setup(t, "--port", fmt.Sprint(countedPort))
		right := server.listing(t)
		server.sendToItself(t, countedPort, 10)
		server.nft(t, dormant)
		check := begin(t, server.ssmonitor(nil, "check", "--ports", server.list, "--port", fmt.Sprint(countedPort)))
		check.wait(t)
		if !strings.Contains(check.stdout.String(), "dormant") {
			t.Errorf("check does not name the dormant table:\n%s%s", &check.stdout, &check.stderr)
		}
		server.setup(t, "--port", fmt.Sprint(countedPort))
		server.waitTable(t, right, 0)
		server.sendToItself(t, countedPort, 5)
		if got := server.packets(t, "udp-20000-in"); got != 15 {
			t.Errorf("%d packets are counted, want 15", got)
		}
	})
}

// TestForeignContentIsRemoved makes every addition of the random administrator to
// the table of a running agent. The counters keep their values, and the agent
// keeps publishing.
func TestForeignContentIsRemoved(t *testing.T) {
	require(t)
	for _, m := range additions() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			a := &administrator{trial: &trial{agent: server.startAgent(t, "--port", "20000-20001")}}
			a.waitServing(t, 20000, 20001)
			server.sendToItself(t, 20000, 10)
			right := server.listing(t)
			m.do(t, a)
			a.waitIntervals(t, 1) // whatever is in the table, the rates are published
			ticks := max(m.ticks, 2)
			server.waitTable(t, right, time.Duration(ticks)*agentInterval)
			server.sendToItself(t, 20000, 5)
			server.sendToItself(t, 9, 3)
			a.expectPackets(t, 15, map[int]uint64{20000: 15, 20001: 0})
			a.stop(t)
		})
	}
}

// TestSetupRemovesForeignContent repairs the table with setup while no agent runs.
func TestSetupRemovesForeignContent(t *testing.T) {
	require(t)
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", "20000-20001")
	server.sendToItself(t, 20000, 10)
	right := server.listing(t)
	a := &administrator{trial: &trial{agent: agent{product: server}}}
	for _, m := range additions() {
		if m.ticks > 0 {
			continue // counters, which setup never deletes
		}
		m.do(t, a)
		server.setup(t, "--port", "20000-20001")
		if got := server.listing(t); got != right {
			t.Errorf("%s: after setup: got %s", m.name, differences(right, got))
			server.nft(t, "delete table inet ssmonitor\n")
			server.setup(t, "--port", "20000-20001")
			server.sendToItself(t, 20000, 10)
		}
		if got := server.packets(t, "udp-20000-in"); got != 10 {
			t.Errorf("%s: got %d packets, want 10", m.name, got)
		}
	}
}
