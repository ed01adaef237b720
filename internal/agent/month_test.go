package agent

import (
	"context"
	"testing"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/throttle"
)

// countedHistory counts the queries.
type countedHistory struct{ queries int }

func (h *countedHistory) View(_ context.Context, read func(usage.Snapshot) error) error {
	h.queries++
	return read(&sample.Usage{})
}

// TestMonthIsReadOnceInAWhile steps the clock, back as well.
func TestMonthIsReadOnceInAWhile(t *testing.T) {
	now, h := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), &countedHistory{}
	source := readings{month: &monthUsage{
		calendar: usage.Calendar{Zone: time.UTC, MonthDay: 1}, history: h, now: func() time.Time { return now }, gap: throttle.Gap{Least: monthGap},
	}}
	for _, step := range []struct {
		name    string
		passed  time.Duration
		queries int
	}{
		{"the first time", 0, 1},
		{"as old as it may be", monthGap - time.Nanosecond, 1},
		{"older", time.Nanosecond, 2},
		{"the clock was set back", -time.Hour, 3},
	} {
		now = now.Add(step.passed)
		if records, err := source.Month(t.Context()); err != nil || records == nil || h.queries != step.queries {
			t.Errorf("%s: got %v, %v after %d queries, want %d", step.name, records, err, h.queries, step.queries)
		}
	}
}
