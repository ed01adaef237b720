package endtoend_test

import (
	"os"
	"testing"
)

// TestStateTruncatedUnderTheAgentIsWrittenAgain truncates files of the state in
// place while the agent has them open. After kill -9 and a flush of the ruleset, as
// after a power cut, the next agent begins with all totals.
func TestStateTruncatedUnderTheAgentIsWrittenAgain(t *testing.T) {
	for _, suffixes := range [][]string{{"-wal"}, {"-shm"}, {""}, {"", "-wal", "-shm"}} {
		t.Run("ssmonitor.db"+suffixes[0], func(t *testing.T) {
			t.Parallel()
			const port = 20000
			server := newServer(t)
			start := func() agent { return server.startCounting(t, "--save-interval", "0s", "--port", "20000=alice") }
			agent := start()
			server.sendToItself(t, port, 100)
			agent.waitIntervals(t, 2) // it saves at each
			for _, suffix := range suffixes {
				if err := os.Truncate(server.stateFile("ssmonitor.db"+suffix), 0); err != nil {
					t.Fatal(err)
				}
			}
			agent.waitSaying(t, "by somebody else")
			server.sendToItself(t, port, 5)
			agent.expectPackets(t, 105, map[int]uint64{port: 105})
			agent.waitIntervals(t, 2)
			agent.kill()
			server.nft(t, "flush ruleset\n")

			agent = start()
			agent.expectPackets(t, 105, map[int]uint64{port: 105})
			agent.stop(t)
			server.expectSound(t)
			server.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(105)})
		})
	}
}
