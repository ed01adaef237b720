package accounting

import (
	"errors"
	"testing"
)

// TestMeterDetachesAgainAtTheNextTick has the kernel refuse once to detach a port
// that is not in force.
func TestMeterDetachesAgainAtTheNextTick(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.restart()
	b.setPorts(t, aliceOnly)
	b.tick(t) // meets the port
	b.fail["detach"] = errors.New("refused")
	b.tick(t)
	delete(b.fail, "detach")
	b.journal = nil
	b.tick(t)
	b.expectJournal(t, "read", "detach "+bobKeys, "verify")
	b.expectLoggedOnce(t, "they are removed with the next reading")
	b.expectLoggedOnce(t, "still counted")
}

// TestMeterKeepsNoListOfRefusals has the kernel refuse for long to detach a port
// that is not in force, as that of a table with another owner does.
func TestMeterKeepsNoListOfRefusals(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.restart()
	b.setPorts(t, aliceOnly)
	b.fail["detach"] = errors.New("refused")
	for range 10 {
		b.tick(t)
	}
	if got, want := len(b.stray), 2; got != want {
		t.Errorf("after ten refusals: got %d keys to detach, want %d", got, want)
	}
}
