package endtoend_test

import (
	"fmt"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// TestCountersOfASavedFileAreABase loads a saved listing on top of the table,
// without a flush, after a port has left the list. nft makes the port's counters
// anew with their old values, inside the table that has the agent's epoch: what
// they hold was counted long ago.
func TestCountersOfASavedFileAreABase(t *testing.T) {
	const stays, goes = 20000, 20001
	tests := []struct {
		name        string
		whileKilled bool // the listing is loaded while no agent runs
		listed      bool // the port is back in the list when it is loaded
	}{
		{"the port is not listed", false, false},
		{"the port comes back", false, true},
		{"the port is not listed and no agent runs", true, false},
		{"the port comes back and no agent runs", true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			start := func() agent { return server.startAgent(t, "--shadowsocks", server.configuration()) }
			server.configure(t, stays, goes)
			agent := start()
			agent.waitServing(t, stays, goes)
			server.sendToItself(t, stays, 100)
			server.sendToItself(t, goes, 50)
			agent.expectPackets(t, 150, map[int]uint64{stays: 100, goes: 50})
			saved := server.ruleset(t)

			server.configure(t, stays)
			server.waitOnePort(t)
			if test.whileKilled {
				agent.kill()
			}
			server.nft(t, saved)
			if test.listed {
				server.configure(t, stays, goes)
			}
			if test.whileKilled {
				agent = start()
			}
			if test.listed {
				agent.waitServing(t, stays, goes)
			} else {
				agent.expectPackets(t, 150, map[int]uint64{stays: 100})
				server.waitOnePort(t)
				agent.expectPackets(t, 150, map[int]uint64{stays: 100})
				server.configure(t, stays, goes)
				agent.waitServing(t, stays, goes)
			}
			agent.waitIntervals(t, 2)
			agent.expectPackets(t, 150, map[int]uint64{stays: 100, goes: 50})

			// What they count from now on is traffic.
			server.sendToItself(t, goes, 7)
			agent.expectPackets(t, 157, map[int]uint64{stays: 100, goes: 57})
			agent.kill()
			agent = start()
			agent.expectPackets(t, 157, map[int]uint64{stays: 100, goes: 57})
			agent.stop(t)
		})
	}
}

// waitOnePort waits until the table has the counters of one port only.
func (n namespace) waitOnePort(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		if counters := n.counters(t); len(counters) != 4 {
			return fmt.Errorf("there are %d counters, want those of one port: %v", len(counters), counters)
		}
		return nil
	})
}

// TestAppendedListingDoublesNothingWithoutAnAgent loads a saved listing on top
// of the table again and again while nobody repairs it.
func TestAppendedListingDoublesNothingWithoutAnAgent(t *testing.T) {
	for _, hook := range []string{"host", "container"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			flags := []string{"--port", fmt.Sprint(countedPort), "--hook", hook}
			server.setup(t, flags...)
			saved := server.ruleset(t)
			for range 3 {
				server.nft(t, saved)
			}
			server.sendToItself(t, countedPort, 100)
			for _, direction := range []string{"in", "out"} {
				if got := server.packets(t, "udp-20000-"+direction); got != 100 {
					t.Errorf("%s: %d packets are counted, want 100", direction, got)
				}
			}
			agent := server.startAgent(t, flags...)
			agent.expectPackets(t, 100, map[int]uint64{countedPort: 100})
			agent.stop(t)
		})
	}
}

// TestWhatCountsTwiceIsRemoved loads a saved ruleset on top of the one that is still
// there, which adds our rules a second time, and the table's rules under another name and
// another hook. They count twice until the agent removes them.
func TestWhatCountsTwiceIsRemoved(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", fmt.Sprint(countedPort))
	right := server.listing(t)
	for _, rules := range []string{server.ruleset(t), `
		table inet ssmonitor {
			chain again { type filter hook input priority 50; counter name meta l4proto . th dport map @ports-in accept; }
			chain before { type filter hook prerouting priority 0; counter name meta l4proto . th dport map @ports-in accept; }
			chain jumped { counter name meta l4proto . th sport map @ports-out; }
		}
		insert rule inet ssmonitor output jump jumped
	`} {
		server.nft(t, rules)
		server.waitTable(t, right, 2*agentInterval)
		before := server.packets(t, "udp-20000-in")
		server.sendToItself(t, countedPort, 100)
		if got := server.packets(t, "udp-20000-in") - before; got != 100 {
			t.Errorf("%d packets are counted, want 100", got)
		}
	}
	agent.stop(t)
}

// agentInterval is that of startAgent without flags.
const agentInterval = 100 * time.Millisecond

// waitTable waits until the table is as it was listed, within limit and the
// time that a busy machine may take.
func (n namespace) waitTable(t *testing.T, want string, limit time.Duration) {
	t.Helper()
	testkit.Eventually(t, limit+administratorGrace, func() error {
		if got := n.listing(t); got != want {
			return fmt.Errorf("the table is not as it was: %s", differences(want, got))
		}
		return nil
	})
}
