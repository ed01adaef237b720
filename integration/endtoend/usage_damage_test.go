package endtoend_test

import (
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting/store"
)

// TestDamagedLedgerGoesOnFromItsBackup overwrites the middle of the database
// between two agents. What the first one saved after its backup, and what is
// counted while none runs, is a gap.
func TestDamagedLedgerGoesOnFromItsBackup(t *testing.T) {
	for _, test := range []struct {
		name   string
		saved  int // datagrams after the backup that are saved
		killed bool
		unseen int // datagrams while no agent runs
	}{
		{name: "stopped", unseen: 40},
		{name: "stopped and idle"},
		{name: "killed", saved: 20, killed: true, unseen: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			start := func() agent {
				return server.startCounting(t, "--save-interval", "0s", "--port", "20000=alice", "--port", "20001=bob")
			}
			agent := start()
			server.sendToItself(t, 20000, 10)
			server.sendToItself(t, 20001, 10)
			agent.stop(t)
			if test.killed {
				agent = start()
				server.sendToItself(t, 20000, test.saved)
				server.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(uint64(10 + test.saved)), "bob": loopbackTraffic(10)})
				agent.kill()
			}
			if test.unseen > 0 {
				server.sendToItself(t, 20000, test.unseen)
			}
			damage(t, server.stateFile("ssmonitor.db"))

			agent = start()
			agent.waitSaying(t, "from its backup")
			agent.waitIntervals(t, 3)
			lost := uint64(test.saved + test.unseen)
			server.sendToItself(t, 20000, 5) // after the gap
			want := map[string]traffic{"alice": loopbackTraffic(10 + lost + 5), "bob": loopbackTraffic(10)}
			server.waitUsage(t, want)
			if kernel := server.counted(t, 20000); kernel != want["alice"] {
				t.Errorf("the kernel counted %+v, want %+v", kernel, want["alice"])
			}
			server.expectGap(t, loopbackTraffic(lost))
			if aside, _ := filepath.Glob(server.stateFile("ssmonitor.db.damaged-*Z")); len(aside) != 1 {
				t.Errorf("the damaged files that are kept are %v", aside)
			}
			agent.stop(t)
			agent = start()
			agent.stop(t)
			if text := agent.stderr.String(); strings.Contains(text, "damaged") || strings.Contains(text, "backup") {
				t.Errorf("the damage is reported again:\n%s", text)
			}
			server.expectGap(t, loopbackTraffic(lost))
			server.expectSound(t)
		})
	}
}

// expectGap checks that all of the gaps together hold the traffic, and that the
// table shows them.
func (p product) expectGap(t *testing.T, want traffic) {
	t.Helper()
	var got traffic
	gaps := p.usage(t).Gaps
	for _, gap := range gaps {
		got.in, got.out = got.in.Plus(gap.In), got.out.Plus(gap.Out)
		if gap.Since.IsZero() || gap.Until.Before(gap.Since) {
			t.Errorf("a gap lasts from %s to %s", gap.Since, gap.Until)
		}
	}
	if got != want {
		t.Errorf("the gaps hold %+v, want %+v", got, want)
	}
	const words = "History was lost here"
	if shown := strings.Contains(p.succeed(t, "usage"), words); shown != (len(gaps) > 0) {
		t.Errorf("there are %d gaps, and the table shows them: %t", len(gaps), shown)
	}
}

// expectSound checks the ledger in full.
func (p product) expectSound(t *testing.T) {
	t.Helper()
	if problems, err := store.Check(p.stateDirectory()); err != nil || len(problems) > 0 {
		t.Errorf("the check of the ledger found %v, %v", problems, err)
	}
}

func TestLedgerWithoutAGoodCopyBeginsAnew(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	start := func() agent { return server.startCounting(t, "--save-interval", "0s", "--port", "20000=alice") }
	agent := start()
	server.sendToItself(t, 20000, 10)
	agent.stop(t)
	damage(t, server.stateFile("ssmonitor.db"))
	damage(t, server.stateFile("ssmonitor.backup.db"))
	agent = start()
	agent.waitSaying(t, "level=ERROR")
	agent.waitSaying(t, "the totals start again at 0")
	if aside, _ := filepath.Glob(server.stateFile("*.damaged-*Z")); len(aside) != 2 {
		t.Errorf("the damaged files that are kept are %v", aside)
	}
	server.sendToItself(t, 20000, 5)
	// The table of counters has outlived the ledger.
	server.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(15)})
	agent.stop(t)
	server.expectSound(t)
	agent = start()
	agent.stop(t)
	if text := agent.stderr.String(); strings.Contains(text, "damaged") || strings.Contains(text, "anew") {
		t.Errorf("the loss is reported again:\n%s", text)
	}
}
