package throttle

import (
	"testing"
	"time"
)

// TestGap steps a clock, back as well.
func TestGap(t *testing.T) {
	type step struct {
		at  time.Duration
		due bool
	}
	for _, test := range []struct {
		name  string
		gap   Gap
		takes time.Duration
		steps []step
	}{
		{"what takes long", Gap{Share: 5}, 100 * time.Millisecond,
			[]step{{0, true}, {100 * time.Millisecond, false}, {499 * time.Millisecond, false}, {500 * time.Millisecond, true}, {900 * time.Millisecond, false}, {time.Second, true}}},
		{"what takes a moment", Gap{Least: 200 * time.Millisecond, Share: 5}, time.Millisecond,
			[]step{{0, true}, {199 * time.Millisecond, false}, {200 * time.Millisecond, true}, {399 * time.Millisecond, false}}},
		{"the clock is set back", Gap{Least: time.Hour}, 0, []step{{0, true}, {time.Minute, false}, {-time.Second, true}, {0, false}}},
		{"without a bound", Gap{}, time.Second, []step{{0, true}, {0, true}}},
	} {
		start := time.Unix(1e9, 0)
		var at time.Time
		now := func() time.Time { return at }
		for _, step := range test.steps {
			at = start.Add(step.at)
			done := false
			due := test.gap.Do(now, func() { done, at = true, at.Add(test.takes) })
			if due != step.due || done != step.due {
				t.Errorf("%s: at %s: got %t, done %t, want %t", test.name, step.at, due, done, step.due)
			}
		}
	}
}
