package accounting

import (
	"errors"
	"strings"
	"testing"
)

// TestMeterLeavesAnUnreadableTableAlone has a reading fail although there is a
// table of ours.
func TestMeterLeavesAnUnreadableTableAlone(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.kernel.table.cut = true
	failure := errors.New("interrupted")
	b.fail["read"] = failure
	if _, err := b.Tick(); !errors.Is(err, failure) {
		t.Errorf("the tick: got %v, want %v", err, failure)
	}
	b.expectJournal(t, "read")

	delete(b.fail, "read")
	b.tick(t)
	b.expectJournal(t, "read", "verify", "save", "install "+aliceKeys)
}

// TestMeterLogsEachFaultThatItRepairs breaks the table in the same way twice.
func TestMeterLogsEachFaultThatItRepairs(t *testing.T) {
	b := newBench(t, aliceOnly)
	const times = 2
	for range times {
		b.kernel.table.cut = true
		b.tick(t)
	}
	if logged := strings.Count(b.log.String(), `found="no chain"`); logged != times {
		t.Errorf("the fault is logged %d times, want %d, in\n%s", logged, times, &b.log)
	}
	if got := b.Status().Reinstalls; got != times {
		t.Errorf("got %d repairs, want %d", got, times)
	}
}
