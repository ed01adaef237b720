package agent

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting/store"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/control"
)

// TestSecondAgentDoesNotWait names the first one at once.
func TestSecondAgentDoesNotWait(t *testing.T) {
	directory := t.TempDir()
	first, _, _, err := store.Open(directory, store.Options{Holder: store.AgentHolder})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	began := time.Now()
	s := settings.Default()
	s.StateDirectory = directory
	a := newAgent(s, Options{Log: newLog(io.Discard), Lookup: func(string) string { return "" }})
	if _, err := a.openLedger(t.Context()); !errors.As(err, new(*store.LockedError)) || time.Since(began) > store.LockPatience/2 {
		t.Errorf("after %s: got %v", time.Since(began), err)
	}
}

// TestOpenControl has places in which the socket can't be.
func TestOpenControl(t *testing.T) {
	directory := testkit.OpenDirectory(t)
	open := func(socket string) (*agent, error) {
		a := &agent{settings: &settings.Settings{Socket: socket}, Options: Options{Log: newLog(io.Discard)}}
		err := a.openControl()
		t.Cleanup(func() { _ = a.close() })
		return a, err
	}
	if a, err := open(""); err != nil || a.control != (controlSocket{}) {
		t.Errorf("without a socket: got %+v and %v", a.control, err)
	}
	if _, err := open(filepath.Join(directory, control.SocketName)); !errors.As(err, new(*failure.WrongError)) || !strings.Contains(err.Error(), "want another name") {
		t.Errorf("the name is taken: got %v", err)
	}
	if a, err := open(filepath.Join(directory, "a.sock")); err != nil || a.control.listener == nil || a.control.err != nil {
		t.Errorf("got %+v and %v", a.control, err)
	}
	if a, err := open(filepath.Join(directory, "b.sock")); err != nil || a.control.listener != nil || !errors.Is(a.control.err, serving.ErrSocketInUse) {
		t.Errorf("beside another agent's: got %+v and %v", a.control, err)
	}
}

// TestChangesRunInTheLoop requests changes of an agent whose loop the test is.
func TestChangesRunInTheLoop(t *testing.T) {
	ended := make(chan struct{})
	c := controller{&agent{changes: make(chan func())}, ended}
	failed := errors.New("failed")
	result := make(chan error, 1)
	go func() { result <- c.inLoop(t.Context(), func() error { return failed }) }()
	(<-c.changes)()
	if err := <-result; !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}

	// Once the loop has begun, the change is made, even if nobody waits any more.
	ctx, cancel := context.WithCancel(t.Context())
	go func() { result <- c.inLoop(ctx, func() error { return failed }) }()
	change := <-c.changes
	cancel()
	change()
	if err := <-result; !errors.Is(err, failed) {
		t.Errorf("a change that has begun: got %v", err)
	}
	if err := c.inLoop(ctx, func() error { t.Error("it runs"); return nil }); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("nobody waits: got %v", err)
	}
	close(ended)
	if err := c.inLoop(t.Context(), func() error { t.Error("it runs"); return nil }); !errors.Is(err, control.ErrEnding) {
		t.Errorf("the loop has ended: got %v", err)
	}
}
