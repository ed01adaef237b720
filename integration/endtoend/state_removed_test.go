package endtoend_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStateRemovedUnderTheAgentIsWrittenAnew removes the state's files while the
// agent has them open. The next agent begins with all totals, those of ports
// that had left the list before among them. The table is made anew first, so
// that the totals can't be had from its counters.
func TestStateRemovedUnderTheAgentIsWrittenAnew(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, a agent)
	}{
		{"stopped", func(t *testing.T, a agent) { a.stop(t) }},
		{"killed after a save", func(t *testing.T, a agent) {
			a.waitIntervals(t, 3) // it saves at each
			a.kill()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const stays, goes = 20000, 20001
			server := newServer(t)
			server.configure(t, stays, goes)
			start := func() agent {
				return server.startAgent(t, "--save-interval", "0s", "--shadowsocks", server.configuration())
			}
			agent := start()
			agent.waitServing(t, stays, goes)
			server.sendToItself(t, stays, 100)
			server.sendToItself(t, goes, 50)
			agent.expectPackets(t, 150, map[int]uint64{stays: 100, goes: 50})
			server.configure(t, stays)
			server.waitOnePort(t)
			right := server.listing(t)
			server.nft(t, "flush ruleset\n")
			server.waitTable(t, right, 2*agentInterval)
			agent.waitIntervals(t, 2)
			server.sendToItself(t, stays, 10)
			agent.expectPackets(t, 160, map[int]uint64{stays: 110})

			files, err := filepath.Glob(filepath.Join(server.stateDirectory(), "*"))
			if err != nil || len(files) == 0 {
				t.Fatalf("the state directory has the files %v, %v", files, err)
			}
			for _, file := range files {
				if err := os.RemoveAll(file); err != nil {
					t.Fatal(err)
				}
			}
			server.sendToItself(t, stays, 5)
			agent.expectPackets(t, 165, map[int]uint64{stays: 115})
			test.end(t, agent)

			agent = start()
			agent.expectPackets(t, 165, map[int]uint64{stays: 115})
			server.configure(t, stays, goes)
			agent.waitServing(t, stays, goes)
			agent.expectPackets(t, 165, map[int]uint64{stays: 115, goes: 50})
			agent.stop(t)
		})
	}
}
