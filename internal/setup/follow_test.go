package setup

import (
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"ssmonitor/integration/sources"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/throttle"
	"ssmonitor/internal/unit"
)

// TestFollowerWaits checks what makes a follower set up though no file has changed: a
// failure, after a while.
func TestFollowerWaits(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, test := range []struct {
		name   string
		began  time.Time
		failed bool
		want   bool
	}{
		{"nothing", ago(time.Hour), false, false},
		{"a failure just now", ago(followRetry / 2), true, false},
		{"a failure", ago(followRetry), true, true},
	} {
		f := newFailingFollower(t, io.Discard, nil)
		if f.began = test.began; test.failed {
			f.fault.Observe(errors.New("failed"))
		}
		if got := f.outdated(); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

// newFailingFollower returns a follower whose settings are missing.
func newFailingFollower(t *testing.T, log io.Writer, notifier *unit.Notifier) *follower {
	t.Helper()
	return &follower{
		FollowOptions: FollowOptions{
			Inputs: settings.Inputs{File: filepath.Join(t.TempDir(), "missing")}, Out: io.Discard, Log: newLog(log), Lookup: func(string) string { return "" },
		},
		settingsFile: sources.Watch(), files: sources.Watch(),
		notifier: notifier, budget: throttle.Budget{Share: setupShare, Burst: setupBurst},
	}
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
