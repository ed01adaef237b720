package endtoend_test

import (
	"os"
	"strings"
	"testing"
)

// TestDamageUnderTheAgentLosesNoTotal overwrites the database while the agent
// has it open, with traffic that was saved after the last backup.
func TestDamageUnderTheAgentLosesNoTotal(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	start := func() agent {
		return server.startCounting(t, "--save-interval", "0s", "--port", "20000=alice", "--port", "20001=bob")
	}
	agent := start()
	server.sendToItself(t, 20000, 10)
	agent.stop(t)
	agent = start()
	server.sendToItself(t, 20001, 7)
	server.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(10), "bob": loopbackTraffic(7)})
	damage(t, server.stateFile("ssmonitor.db"))
	server.sendToItself(t, 20000, 5)
	agent.waitIntervals(t, 3)
	agent.stop(t)
	agent = start()
	server.sendToItself(t, 20001, 1)
	server.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(15), "bob": loopbackTraffic(8)})
	agent.stop(t)
	server.expectSound(t)
	if text := agent.stderr.String(); strings.Contains(text, "level=ERROR") {
		t.Errorf("the second agent reports an error:\n%s", text)
	}
}

// TestWriteByAnotherProgramIsDamage raises the schema's version with Debian's
// sqlite3, which leaves a page whose checksum is wrong.
func TestWriteByAnotherProgramIsDamage(t *testing.T) {
	require(t, "sqlite3")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000=alice")
	server.sendToItself(t, 20000, 10)
	agent.stop(t)
	server.run(t, "sqlite3", server.stateFile("ssmonitor.db"), "pragma user_version = 99; pragma wal_checkpoint(truncate)")
	for _, command := range [][]string{{"usage"}, {"client", "list"}, {"client", "new", "20000", "dave"}} {
		begin(t, server.ssmonitor(nil, command...)).expectOneLine(t, "ssmonitor.db")
	}
	run := begin(t, server.ssmonitor(nil, "check", "--list", server.list, "--csv", "", "--socket", ""))
	run.wait(t)
	if text := run.stdout.String(); !strings.Contains(text, "ssmonitor.db") || strings.Contains(text+run.stderr.String(), "goroutine") {
		t.Errorf("check does not report the ledger:\n%s%s", text, &run.stderr)
	}
	if _, err := os.Stat(server.stateFile("ssmonitor.db")); err != nil {
		t.Error(err)
	}
}
