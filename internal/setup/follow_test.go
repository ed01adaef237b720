package setup

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
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
		last   time.Time
		failed bool
		want   bool
	}{
		{"nothing", ago(time.Hour), false, false},
		{"a failure just now", ago(followRetry / 2), true, false},
		{"a failure", ago(followRetry), true, true},
	} {
		f := follower{
			last: test.last, failed: test.failed, budget: throttle.Budget{Share: setupShare, Burst: setupBurst},
			settings: sources.Follow(sources.Sources{}), files: sources.Follow(sources.Sources{}),
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
			Sheet: settings.Sheet{File: filepath.Join(t.TempDir(), "missing")}, Out: io.Discard, Log: newLog(log), Lookup: func(string) string { return "" },
		},
		settings: sources.Follow(sources.Sources{}), files: sources.Follow(sources.Sources{}),
		notifier: notifier, budget: throttle.Budget{Share: setupShare, Burst: setupBurst},
	}
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// TestNotesAreLoggedByWhatTheyAskFor has findings of each level, and another note.
func TestNotesAreLoggedByWhatTheyAskFor(t *testing.T) {
	var log bytes.Buffer
	f := &follower{FollowOptions: FollowOptions{Log: newLog(&log)}}
	f.sayNew(append(findingNotes([]finding.Finding{
		{Level: finding.OK, Message: "published"}, {Level: finding.Note, Message: "shared"},
		{Level: finding.Unknown, Message: "unread", Remedy: "name it\nor wait"}, {Level: finding.Wrong, Message: "redirected"},
	}), warnings(errors.New("a file"))...))
	for _, want := range []string{
		"INFO msg=published\n", "INFO msg=shared\n", "WARN msg=\"unread: name it; or wait\"\n", "WARN msg=redirected\n", "WARN msg=\"a file\"\n",
	} {
		if !strings.Contains(log.String(), "level="+want) {
			t.Errorf("want %q in\n%s", want, &log)
		}
	}
}

// TestNotesThatComeBackAreLoggedAgain expects a note once for as long as it stays.
func TestNotesThatComeBackAreLoggedAgain(t *testing.T) {
	var log bytes.Buffer
	f := &follower{FollowOptions: FollowOptions{Log: newLog(&log)}}
	closed, broken := errors.New("a closed directory"), errors.New("a broken file")
	for i, step := range []struct {
		notes          []error
		closed, broken int // how often they are in the log
	}{
		{[]error{closed, broken, broken}, 1, 1},
		{[]error{broken, closed}, 1, 1},
		{[]error{closed}, 1, 1},
		{[]error{closed, broken}, 1, 2},
		{nil, 1, 2},
		{[]error{closed}, 2, 2},
	} {
		f.sayNew(warnings(step.notes...))
		if c, b := strings.Count(log.String(), closed.Error()), strings.Count(log.String(), broken.Error()); c != step.closed || b != step.broken {
			t.Errorf("step %d: got %d and %d, want %d and %d:\n%s", i, c, b, step.closed, step.broken, &log)
		}
	}
}
