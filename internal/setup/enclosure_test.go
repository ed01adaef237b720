package setup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/integration/sources"
	"ssmonitor/internal/landlock"
	"ssmonitor/internal/unit"
)

func TestEnclosure(t *testing.T) {
	directory := t.TempDir()
	first, second := filepath.Join(directory, "first"), filepath.Join(directory, "second")
	for _, path := range []string{first, second} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	places := func(paths ...string) []sources.Place { return (&sources.Sources{Watched: paths}).Places() }
	list := filepath.Join(directory, "lists", "ports")
	var log bytes.Buffer
	var got map[string]landlock.Access
	e := enclosure{restrict: func(paths map[string]landlock.Access) error { got = paths; return nil }}
	if err := e.admit(places(first, second)); err != nil {
		t.Errorf("before it is entered: %v", err)
	}
	if err := e.enter(newLog(&log), places(first), list); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]landlock.Access{
		first: landlock.Read, filepath.Dir(list): landlock.Read | landlock.Write, "/proc": landlock.Read, second: 0, "/etc": 0,
	} {
		if got[path] != want {
			t.Errorf("%s: got the access %x, want %x", path, got[path], want)
		}
	}
	if err := e.enter(newLog(&log), places(first), list); err != nil {
		t.Errorf("the same places: %v", err)
	}
	if err := e.enter(newLog(&log), places(first, second), list); !errors.Is(err, ErrAgain) {
		t.Errorf("another place: got %v, want ErrAgain", err)
	}

	optional := places(second)
	optional[0].Optional = true
	if err := e.enter(newLog(&log), append(places(first), optional...), list); err != nil {
		t.Errorf("a place that another user names: %v", err)
	}

	none := enclosure{restrict: func(map[string]landlock.Access) error { return errors.ErrUnsupported }}
	for range 2 {
		if err := none.enter(newLog(&log), places(first, second), list); err != nil {
			t.Errorf("without Landlock: %v", err)
		}
	}
	if err := none.enter(newLog(&log), append(places(first, second), places(directory)...), list); !errors.Is(err, ErrAgain) {
		t.Errorf("another place without Landlock: got %v, want ErrAgain", err)
	}
	if times := strings.Count(log.String(), "no Landlock"); times != 1 {
		t.Errorf("got %d notes, want 1:\n%s", times, &log)
	}
}

// signOfLife waits for one.
func signOfLife(t *testing.T, signs <-chan string) {
	t.Helper()
	timeout := time.After(10 * followInterval)
	for {
		select {
		case sign := <-signs:
			if strings.Contains(sign, "WATCHDOG=1") {
				return
			}
		case <-timeout:
			t.Fatal("no sign of life")
		}
	}
}

// TestFollowerSendsSignsOfLifeFromItsLoop has a loop that advances, then one that a
// setup keeps from it: what it logs is not read.
func TestFollowerSendsSignsOfLifeFromItsLoop(t *testing.T) {
	unread, reading := io.Pipe()
	signs := make(chan string, 100)
	f := newFailingFollower(t, reading, &unit.Notifier{Send: func(state string) { signs <- state }, Watchdog: followInterval})
	ctx, cancel := context.WithCancel(t.Context())
	done, hangup := make(chan error), make(chan os.Signal)
	go func() { done <- f.follow(ctx, hangup) }()
	signOfLife(t, signs)
	signOfLife(t, signs)

	hangup <- syscall.SIGHUP
	if _, err := unread.Read(make([]byte, 1)); err != nil { // the setup has begun to log that it fails
		t.Fatal(err)
	}
	for len(signs) > 0 {
		<-signs
	}
	select {
	case sign := <-signs:
		t.Errorf("the loop hangs, and sends %q", sign)
	case <-time.After(3 * followInterval):
	}
	go func() { _, _ = io.Copy(io.Discard, unread) }()
	signOfLife(t, signs)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
