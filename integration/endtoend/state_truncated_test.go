package endtoend_test

import (
	"os"
	"syscall"
	"testing"
)

// TestStateTruncatedUnderTheAgentIsWrittenAgain truncates files of the state in
// place while the agent has them open. After kill -9 and a flush of the ruleset, as
// after a power cut, the next agent begins with all totals.
func TestStateTruncatedUnderTheAgentIsWrittenAgain(t *testing.T) {
	require(t)
	for _, suffixes := range [][]string{{"-wal"}, {"-shm"}, {""}, {"", "-wal", "-shm"}} {
		t.Run("ssmonitor.db"+suffixes[0], func(t *testing.T) {
			t.Parallel()
			const port = 20000
			server := newNamespace(t)
			ssmonitor := newProduct(t, server)
			start := func() agent {
				agent := ssmonitor.startAgent(t, "--save-interval", "0s", "--port", "20000=alice")
				agent.waitServing(t, port)
				return agent
			}
			agent := start()
			server.sendToItself(t, port, 100)
			agent.waitIntervals(t, 2) // it saves at each
			for _, suffix := range suffixes {
				if err := os.Truncate(ssmonitor.stateFile("ssmonitor.db"+suffix), 0); err != nil {
					t.Fatal(err)
				}
			}
			agent.waitSaying(t, "by somebody else")
			server.sendToItself(t, port, 5)
			agent.expectPackets(t, 105, map[int]uint64{port: 105})
			agent.waitIntervals(t, 2)
			agent.signal(syscall.SIGKILL)
			<-agent.done
			server.nft(t, "flush ruleset\n")

			agent = start()
			agent.expectPackets(t, 105, map[int]uint64{port: 105})
			agent.stop(t)
			ssmonitor.expectSound(t)
			ssmonitor.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(105)})
		})
	}
}
