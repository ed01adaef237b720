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
	"ssmonitor/internal/testkit"
	"ssmonitor/output/control"
)

// TestAgentWaitsForACommand starts the agent while a command holds the state.
func TestAgentWaitsForACommand(t *testing.T) {
	p := newPlace(t)
	p.setup()
	ledger, _, _, err := store.Open(p.state, store.Options{Holder: store.ClientHolder})
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

// TestClientNewAfterAnAgentThatDidNotAnswer plays an agent that makes the change and
// ends before it answers, and one that does not make it.
func TestClientNewAfterAnAgentThatDidNotAnswer(t *testing.T) {
	testkit.RequireRoot(t, "client new")
	for _, made := range []bool{true, false} {
		p := newPlace(t)
		p.setup() // so that there are counters to read
		ledger, _, _, err := store.Open(p.state, store.Options{Holder: store.AgentHolder})
		if err != nil {
			t.Fatal(err)
		}
		ledger.ResolveNames(accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"}})
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
				err = errors.Join(err, ledger.HandOver(20000, "dave", time.Now()))
			}
			ended <- errors.Join(err, listener.Close(), conn.Close(), ledger.Close())
		}()
		command := programOf("client", "new", "--config", "none", "--state", p.state, "--socket", p.socket, "20000", "dave")
		printed, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(printed), "Port 20000 belongs to dave from now on.\n") {
			t.Errorf("made: %t: got %v\n%s", made, err, printed)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var found []usage.Client
		err = store.History{Directory: p.state}.View(t.Context(), func(recorded usage.Snapshot) (err error) {
			found, err = recorded.Clients()
			return err
		})
		if err != nil || len(found) != 2 || found[1].Name != "dave" {
			t.Errorf("made: %t: the clients are %v, %v", made, found, err)
		}
	}
}
