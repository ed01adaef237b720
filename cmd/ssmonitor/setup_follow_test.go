package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

// TestFollowerWaits checks what makes a follower set up though no file has
// changed: a failure, after a while, and another ruleset, after a time that the
// last setup decides.
func TestFollowerWaits(t *testing.T) {
	p := newPlace(t)
	p.nft("add table inet other")
	now, err := survey.Generation()
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, test := range []struct {
		name     string
		follower setupFollower
		want     bool
	}{
		{"nothing", setupFollower{last: ago(time.Hour), publisher: publisher{generation: now, last: ago(time.Hour)}}, false},
		{"no look at the ruleset yet", setupFollower{last: ago(time.Hour)}, false},
		{"a failure just now", setupFollower{failed: true, last: ago(followRetry / 2)}, false},
		{"a failure", setupFollower{failed: true, last: ago(followRetry)}, true},
		{"a failure after much work", setupFollower{failed: true, debt: 3 * setupBurst, last: ago(followRetry)}, false},
		{"a failure after much work, and a pause", setupFollower{failed: true, debt: 3 * setupBurst, last: ago(2 * setupBurst * setupShare)}, true},
		{"a ruleset, again and again", setupFollower{publisher: publisher{generation: now - 1, debt: rulesetBurst, last: ago(0)}}, true},
		{"a ruleset for too long", setupFollower{publisher: publisher{generation: now - 1, debt: rulesetBurst + 2*time.Second, last: ago(rulesetShare * time.Second)}}, false},
		{"a ruleset after a pause", setupFollower{publisher: publisher{generation: now - 1, debt: rulesetBurst + 2*time.Second, last: ago(rulesetShare * 2 * time.Second)}}, true},
		{"connections that may have ended", setupFollower{publisher: publisher{generation: now, transient: true, last: ago(transientInterval)}}, true},
		{"connections just now", setupFollower{publisher: publisher{generation: now, transient: true, last: ago(transientInterval / 2)}}, false},
		{"a look that failed", setupFollower{publisher: publisher{generation: now, failed: true, last: ago(followRetry)}}, true},
		{"another hook", setupFollower{publisher: publisher{generation: now - 1, last: ago(time.Hour), hook: nft.HookContainer}}, false},
	} {
		if test.follower.publisher.hook == "" {
			test.follower.publisher.hook = nft.HookHost
		}
		test.follower.settings, test.follower.files = sources.Follow(sources.Sources{}), sources.Follow(sources.Sources{})
		if got := test.follower.outdated(); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

// newFailingFollower returns a follower whose settings are missing.
func newFailingFollower(t *testing.T, log io.Writer) *setupFollower {
	t.Helper()
	options := flag.NewFlagSet("setup", flag.ContinueOnError)
	for _, option := range setupCommand().Flags {
		if err := option.Apply(options); err != nil {
			t.Fatal(err)
		}
	}
	if err := options.Set("config", filepath.Join(t.TempDir(), "missing")); err != nil {
		t.Fatal(err)
	}
	return &setupFollower{
		command: cli.NewContext(newApp(io.Discard, io.Discard, nil), options, nil), log: newLog(log),
		settings: sources.Follow(sources.Sources{}), files: sources.Follow(sources.Sources{}),
		notifier: &notifier{send: func(string) {}},
	}
}

// TestSetupsAddUp has one setup soon after another: neither takes long.
func TestSetupsAddUp(t *testing.T) {
	f := newFailingFollower(t, io.Discard)
	f.debt, f.last = setupBurst, time.Now()
	if err := f.setUp(); err == nil {
		t.Error("setup succeeds without its settings")
	}
	if f.debt < setupBurst/2 {
		t.Errorf("got a debt of %s, want that of the setup before, too", f.debt)
	}
}

// TestBusyProcessorDelaysNoLook has a look that waits for long, as on a busy machine,
// but takes no processor time: the next change of the rules is seen soon.
func TestBusyProcessorDelaysNoLook(t *testing.T) {
	p := newPlace(t)
	looker := publisher{hook: nft.HookHost}
	if _, err := looker.decide(&sources.Result{}, func() ([]accounting.Target, error) {
		time.Sleep(2 * rulesetBurst)
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	p.nft("add table inet other")
	testkit.Eventually(t, rulesetShare*time.Second/4, func() error {
		if !looker.outdated() {
			return errors.New("the change of the rules is not seen")
		}
		return nil
	})
}

// TestLooksThatTakeMuchTakeTurns has a look that keeps a processor busy.
func TestLooksThatTakeMuchTakeTurns(t *testing.T) {
	p := newPlace(t)
	looker := publisher{hook: nft.HookHost, debt: rulesetBurst, last: time.Now()}
	if _, err := looker.decide(&sources.Result{}, func() ([]accounting.Target, error) {
		for before := processorTime(); processorTime()-before < 300*time.Millisecond; {
		}
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	p.nft("add table inet other")
	if looker.outdated() {
		t.Error("another look follows at once")
	}
}

// TestNotesAreLoggedByWhatTheyAskFor has findings of each level, and another note.
func TestNotesAreLoggedByWhatTheyAskFor(t *testing.T) {
	var log bytes.Buffer
	f := &setupFollower{log: newLog(&log)}
	f.sayNew(append(findingNotes([]checkup.Finding{
		{Level: checkup.OK, Message: "published"}, {Level: checkup.Note, Message: "shared"},
		{Level: checkup.Unknown, Message: "unread", Remedy: "name it\nor wait"}, {Level: checkup.Wrong, Message: "redirected"},
	}), errors.New("a file")))
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
	f := &setupFollower{log: newLog(&log)}
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
		f.sayNew(step.notes)
		if c, b := strings.Count(log.String(), closed.Error()), strings.Count(log.String(), broken.Error()); c != step.closed || b != step.broken {
			t.Errorf("step %d: got %d and %d, want %d and %d:\n%s", i, c, b, step.closed, step.broken, &log)
		}
	}
}
