package endtoend_test

import (
	"testing"
	"time"
)

// foreignChanges are the additions of the random administrator, and the flag that unhooks
// all chains of a table.
func foreignChanges() []move {
	return append(additions(), move{name: "dormant table", do: script("add table inet ssmonitor { flags dormant; }")})
}

// TestForeignContentIsRemoved changes the table of a running agent, and of one that is
// about to start. The counters keep their values, and the agent keeps publishing.
func TestForeignContentIsRemoved(t *testing.T) {
	for _, m := range foreignChanges() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			start := func() agent { return server.startCounting(t, "--port", "20000-20001") }
			a := &administrator{trial: &trial{agent: start()}}
			server.sendToItself(t, 20000, 10)
			right := server.listing(t)
			repaired := func(packets uint64) {
				t.Helper()
				server.waitTable(t, right, time.Duration(max(m.ticks, 2))*agentInterval)
				server.sendToItself(t, 20000, 5)
				server.sendToItself(t, 9, 3)
				a.expectPackets(t, packets, map[int]uint64{20000: packets, 20001: 0})
			}
			m.do(t, a)
			a.waitIntervals(t, 1) // whatever is in the table, the rates are published
			repaired(15)
			a.stop(t)
			if m.ticks > 0 {
				return // counters, which may count while no agent runs
			}
			m.do(t, a)
			a.agent = start()
			repaired(20)
			a.stop(t)
		})
	}
}

// TestSetupRemovesForeignContent repairs the table with setup while no agent runs.
func TestSetupRemovesForeignContent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", "20000-20001")
	server.sendToItself(t, 20000, 10)
	right := server.listing(t)
	a := &administrator{trial: &trial{agent: agent{product: server}}}
	for _, m := range foreignChanges() {
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
