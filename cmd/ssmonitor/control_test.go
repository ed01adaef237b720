package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/control"
)

// TestAgentWaitsForACommand starts the agent while a command holds the state.
func TestAgentWaitsForACommand(t *testing.T) {
	p := newPlace(t)
	p.setup()
	ledger, _, _, err := store.Open(p.state, commandStore(clientHolder))
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	go func() {
		released <- errors.Join(awaitWaiter(t.Context(), filepath.Join(p.state, "lock")), ledger.Close())
	}()
	p.agent(p.socket)
	if err := <-released; err != nil {
		t.Error(err)
	}
}

// awaitWaiter waits until a process waits for a lock on the file, by the lines of
// proc_locks(5) such as "1: -> FLOCK  ADVISORY  WRITE 1234 08:01:99 0 EOF".
func awaitWaiter(ctx context.Context, path string) error {
	information, err := os.Stat(path)
	if err != nil {
		return err
	}
	inode := strconv.FormatUint(information.Sys().(*syscall.Stat_t).Ino, 10)
	for ctx.Err() == nil {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, ":"+inode+" ") {
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ctx.Err()
}

// TestSecondAgentDoesNotWait names the first one at once.
func TestSecondAgentDoesNotWait(t *testing.T) {
	directory := t.TempDir()
	first, _, _, err := store.Open(directory, store.Options{Holder: runHolder})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	began := time.Now()
	if _, _, _, err := openLedger(t.Context(), directory, store.Options{Holder: runHolder}); !errors.As(err, new(*store.LockedError)) || time.Since(began) > lockPatience/2 {
		t.Errorf("after %s: got %v", time.Since(began), err)
	}
}

// TestCommandsDeleteNoUsage saves usage that is older than the defaults keep it.
func TestCommandsDeleteNoUsage(t *testing.T) {
	directory := t.TempDir()
	options := commandStore("test")
	key := accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.In}
	var bytes uint64
	save := func(now time.Time) {
		t.Helper()
		options.Now = func() time.Time { return now }
		ledger, _, _, err := store.Open(directory, options)
		if err != nil {
			t.Fatal(err)
		}
		bytes += 100
		total := accounting.Count{Packets: bytes / 100, Bytes: bytes}
		if err := errors.Join(ledger.Save(accounting.State{Accounts: []accounting.Account{{Key: key, Total: total, Last: total, Handle: 1}}}), ledger.Close()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for _, ago := range []int{10 * 365, 10*365 - 1, 0, 0} {
		save(now.AddDate(0, 0, -ago))
	}
	for by, want := range map[usage.Period]int{usage.ByHour: 3, usage.ByDay: 3} {
		records, err := store.Usage(directory, usage.Query{By: by})
		if err != nil || len(records.Rows) != want {
			t.Errorf("by %s: got %d rows, %v, want %d", by, len(records.Rows), err, want)
		}
	}
}

// TestOpenControl has places in which the socket can't be.
func TestOpenControl(t *testing.T) {
	directory, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	open := func(socket string) (*agent, error) {
		a := &agent{socket: socket, log: slog.New(slog.DiscardHandler)}
		err := a.openControl()
		t.Cleanup(func() { _ = closeControl(a.control) })
		return a, err
	}
	if a, err := open(""); err != nil || a.control != nil || a.controlErr != nil {
		t.Errorf("without a socket: got %v, %v and %v", a.control, a.controlErr, err)
	}
	if _, err := open(filepath.Join(directory, control.SocketName)); !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), "want another name") {
		t.Errorf("the name is taken: got %v", err)
	}
	if a, err := open(filepath.Join(directory, "a.sock")); err != nil || a.control == nil || a.controlErr != nil {
		t.Errorf("got %v, %v and %v", a.control, a.controlErr, err)
	}
	if a, err := open(filepath.Join(directory, "b.sock")); err != nil || a.control != nil || !errors.Is(a.controlErr, serving.ErrSocketInUse) {
		t.Errorf("beside another agent's: got %v, %v and %v", a.control, a.controlErr, err)
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

// TestClientNewAfterAnAgentThatDidNotAnswer plays an agent that makes the change and
// ends before it answers, and one that does not make it.
func TestClientNewAfterAnAgentThatDidNotAnswer(t *testing.T) {
	testkit.RequireRoot(t, "client new")
	for _, made := range []bool{true, false} {
		p := newPlace(t)
		p.setup() // so that there are counters to read
		ledger, _, _, err := store.Open(p.state, store.Options{Holder: runHolder})
		if err != nil {
			t.Fatal(err)
		}
		ledger.SetPorts(accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"}})
		listener, err := control.Listen(control.SocketPath(p.socket), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, err = conn.Read(make([]byte, 4096))
			}
			if made {
				err = errors.Join(err, ledger.NewClient(20000, "dave", time.Now()))
			}
			ended <- errors.Join(err, listener.Close(), conn.Close(), ledger.Close())
		}()
		command := p.program("client", "new", "--config", "none", "--state", p.state, "--socket", p.socket, "20000", "dave")
		printed, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(printed), "Port 20000 belongs to dave from now on.\n") {
			t.Errorf("made: %t: got %v\n%s", made, err, printed)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		clients, err := store.Clients(p.state)
		if err != nil || len(clients) != 2 || clients[1].Name != "dave" {
			t.Errorf("made: %t: the clients are %v, %v", made, clients, err)
		}
	}
}
