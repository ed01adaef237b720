package unit

import (
	"slices"
	"testing"
	"time"
)

func TestNotifierSendsOnlyWhatIsNew(t *testing.T) {
	var sent []string
	n := &Notifier{Send: func(state string) { sent = append(sent, state) }, Watchdog: 30 * time.Second}
	start := time.Unix(1e9, 0)
	steps := []struct {
		after        time.Duration // since the start
		state, rates string
		want         []string
	}{
		{0, "counting 3 ports", "", []string{"STATUS=counting 3 ports\nWATCHDOG=1"}},
		{2 * time.Second, "counting 3 ports", ", in 1 kbit/s", []string{"STATUS=counting 3 ports, in 1 kbit/s"}},
		{4 * time.Second, "counting 3 ports", ", in 2 kbit/s", nil},
		{14 * time.Second, "counting 3 ports", ", in 2 kbit/s", []string{"WATCHDOG=1"}},
		{16 * time.Second, "no rates: refused", "", []string{"STATUS=no rates: refused"}},
		{18 * time.Second, "counting 3 ports", ", in 2 kbit/s", []string{"STATUS=counting 3 ports, in 2 kbit/s"}},
		{26 * time.Second, "counting 3 ports", ", in 3 kbit/s", nil},
		{28 * time.Second, "counting 3 ports", ", in 3 kbit/s", []string{"WATCHDOG=1"}},
		{48 * time.Second, "counting 3 ports", ", in 2 kbit/s", []string{"WATCHDOG=1"}},
		{50 * time.Second, "counting 3 ports", ", in 3 kbit/s", []string{"STATUS=counting 3 ports, in 3 kbit/s"}},
	}
	for _, step := range steps {
		sent = nil
		n.Tick(start.Add(step.after), 2*time.Second, step.state, step.rates)
		if !slices.Equal(sent, step.want) {
			t.Errorf("after %s: got %q, want %q", step.after, sent, step.want)
		}
	}
}

// TestNotifierIsNeverSilentForTooLong ticks with intervals around the watchdog's
// timeout.
func TestNotifierIsNeverSilentForTooLong(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 14 * time.Second, 15 * time.Second} {
		var now, last, longest time.Duration
		n := &Notifier{Send: func(string) { longest, last = max(longest, now-last), now }, Watchdog: 30 * time.Second}
		for range 100 {
			n.Tick(time.Unix(1e9, 0).Add(now), interval, "counting", "")
			now += interval
		}
		if longest > n.Watchdog/2 {
			t.Errorf("at intervals of %s it was silent for %s, want at most %s", interval, longest, n.Watchdog/2)
		}
		if ticks, _ := n.Between(interval); ticks != nil {
			t.Errorf("at intervals of %s there is a timer for the watchdog as well", interval)
		}
	}
	n := &Notifier{Watchdog: 30 * time.Second}
	ticks, stop := n.Between(16 * time.Second)
	defer stop()
	if ticks == nil {
		t.Error("at intervals of 16s there is no timer for the watchdog")
	}
}

// TestProgressIsASignOfLife has a setup that takes many steps.
func TestProgressIsASignOfLife(t *testing.T) {
	sent := 0
	n := &Notifier{Send: func(string) { sent++ }, Watchdog: 40 * time.Second}
	start := time.Unix(1e9, 0)
	for step := range 100 {
		n.Progress(start.Add(time.Duration(step) * time.Second))
	}
	if sent < 5 || sent > 10 {
		t.Errorf("got %d signs of life in 100 s, want one in about 10 s", sent)
	}
	none := &Notifier{Send: func(string) { t.Error("without a Watchdog: got a sign of life") }}
	none.Progress(start)
}
