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
