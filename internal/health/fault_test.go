package health_test

import (
	"errors"
	"fmt"
	"testing"

	"ssmonitor/internal/health"
)

func TestFault(t *testing.T) {
	full, broken := errors.New("disk full"), errors.New("disk broken")
	var fault health.Fault
	for i, step := range []struct {
		name     string
		err      error
		want     health.FaultChange
		failures int
	}{
		{"works from the start", nil, health.FaultUnchanged, 0},
		{"first failure", full, health.FaultRaised, 1},
		{"same failure", full, health.FaultUnchanged, 2},
		{"same cause, other wrapping", fmt.Errorf("attempt %d: %w", 3, full), health.FaultUnchanged, 3},
		{"another cause", broken, health.FaultRaised, 4},
		{"first cause again", full, health.FaultRaised, 5},
		{"works again", nil, health.FaultCleared, 5},
		{"still works", nil, health.FaultUnchanged, 5},
		{"a new series begins at 1", full, health.FaultRaised, 1},
		{"and ends", nil, health.FaultCleared, 1},
		{"an error without text", errors.New(""), health.FaultRaised, 1},
		{"the same one", errors.New(""), health.FaultUnchanged, 2},
	} {
		if got := fault.Observe(step.err); got != step.want || fault.Failures() != step.failures {
			t.Errorf("step %d (%s): got change %d, %d failures; want %d, %d",
				i, step.name, got, fault.Failures(), step.want, step.failures)
		}
	}
}
