package endtoend_test

import (
	"testing"
)

// TestTwoNamespacesInTurnCountOnce runs agents with one state directory in two
// network namespaces in turn, as a fail-over pair does. Each namespace keeps its
// table, and all that a table counted is in the totals once.
func TestTwoNamespacesInTurnCountOnce(t *testing.T) {
	t.Parallel()
	const port, unread = 20000, 3
	servers := [2]namespace{newNamespace(t), newNamespace(t)}
	ssmonitor := newProduct(t, servers[0])
	var read uint64
	for round := range 6 {
		server := servers[round%2]
		ssmonitor.namespace = server
		agent := ssmonitor.startCounting(t, "--save-interval", "0s", "--port", "20000")
		if round >= len(servers) {
			read += unread
		}
		server.sendToItself(t, port, 10+round)
		read += uint64(10 + round)
		agent.expectPackets(t, read, map[int]uint64{port: read})
		if round%3 == 2 {
			agent.waitIntervals(t, 3) // it saves at each
			agent.kill()
		} else {
			agent.stop(t)
		}
		server.sendToItself(t, port, unread)
	}
	ssmonitor.expectSound(t)
}
