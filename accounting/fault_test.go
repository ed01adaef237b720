package accounting_test

import (
	"errors"
	"fmt"
	"testing"

	"ssmonitor/accounting"
)

func TestFault(t *testing.T) {
	full, broken := errors.New("disk full"), errors.New("disk broken")
	var fault accounting.Fault
	for i, step := range []struct {
		name     string
		err      error
		want     accounting.FaultChange
		failures int
	}{
		{"works from the start", nil, accounting.FaultUnchanged, 0},
		{"first failure", full, accounting.FaultRaised, 1},
		{"same failure", full, accounting.FaultUnchanged, 2},
		{"same cause, other wrapping", fmt.Errorf("attempt %d: %w", 3, full), accounting.FaultUnchanged, 3},
		{"another cause", broken, accounting.FaultRaised, 4},
		{"first cause again", full, accounting.FaultRaised, 5},
		{"works again", nil, accounting.FaultCleared, 5},
		{"still works", nil, accounting.FaultUnchanged, 5},
		{"a new series begins at 1", full, accounting.FaultRaised, 1},
		{"and ends", nil, accounting.FaultCleared, 1},
		{"an error without text", errors.New(""), accounting.FaultRaised, 1},
		{"the same one", errors.New(""), accounting.FaultUnchanged, 2},
	} {
		if got := fault.Observe(step.err); got != step.want || fault.Failures() != step.failures {
			t.Errorf("step %d (%s): got change %d, %d failures; want %d, %d",
				i, step.name, got, fault.Failures(), step.want, step.failures)
		}
	}
}
