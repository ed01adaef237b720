package endtoend_test

import (
	"fmt"
	"testing"

	"ssmonitor/accounting"
)

// TestSetupWorksThroughAnAgentThatOwnsTheTable runs the other commands while the
// agent owns the table, so that they may not change it. --own yes fails where the kernel can't keep
// one; package kernels shows what happens there.
func TestSetupWorksThroughAnAgentThatOwnsTheTable(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", "20000=alice")
	server.sendToItself(t, 20000, 5)
	agent := server.startAgent(t, "--list", server.list, "--own", "yes")
	agent.waitServing(t, 20000)

	// The totals include what the table without an owner had counted.
	server.sendToItself(t, 20000, 5)
	if got := agent.packetsIn(t, 20000); got != 10 {
		t.Errorf("the total is %d packets, want 10", got)
	}

	// It leaves the table to the agent, which may be faster than it anyway.
	server.succeed(t,
		"setup", "--list", server.list, "--port", "20000=alice", "--port", "20001=bob")
	agent.waitServing(t, 20000, 20001)
	server.nft(t, "flush ruleset")
	server.sendToItself(t, 20001, 7)
	if got := agent.packetsIn(t, 20001); got != 7 {
		t.Errorf("the total of the new port is %d packets, want 7", got)
	}
	server.fail(t, 1, []string{fmt.Sprintf("process %d", agent.command.Process.Pid)}, "teardown")
	server.fail(t, 1, []string{fmt.Sprintf("process %d", agent.command.Process.Pid)}, "teardown", "--purge")
	agent.stop(t)

	// The table has no owner now: another agent adopts it, teardown removes it.
	agent = server.startAgent(t, "--list", server.list, "--own", "yes")
	agent.waitServing(t, 20000, 20001)
	if first, second := agent.packetsIn(t, 20000), agent.packetsIn(t, 20001); first != 10 || second != 7 {
		t.Errorf("after a restart the totals are %d and %d packets, want 10 and 7", first, second)
	}
	agent.stop(t)
	server.succeed(t, "teardown")
	server.expectNoRuleset(t, "after teardown")
}

// packetsIn returns the total of UDP packets received on a port.
func (a agent) packetsIn(t *testing.T, port uint16) uint64 {
	t.Helper()
	return totals(a.report(t))[accounting.Key{Port: port, Protocol: accounting.UDP, Direction: accounting.In}].Packets
}
