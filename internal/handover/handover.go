// Package handover gives a port to another client: by the agent that runs, or in the
// ledger where none does.
package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/nft"
	"ssmonitor/output/control"
)

// answerPatience is how long a command waits for the agent's answer.
const answerPatience = 20 * time.Second

// Transfer is a port that another client gets.
type Transfer struct {
	Port   uint16
	Name   string
	State  string // the directory of the ledger
	Socket string // of the agent, for readers; empty: none
	Log    *slog.Logger
}

// openStore is store.Open, or its like.
type openStore func(directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error)

// Give gives the port to another client: by the agent that holds the ledger, or without
// one. What was counted so far belongs to the previous client. later reports that the
// agent does it when it starts, because the counters can't be read now.
func (t Transfer) Give(ctx context.Context) (later bool, err error) {
	if os.Geteuid() != 0 {
		return false, errors.New("only root changes clients: run it as root")
	}
	later, err = t.attempt(ctx, store.Open)
	unanswered := errors.Is(err, control.ErrNoAnswer) // an agent has ended and may have made the change
	if !unanswered && !errors.Is(err, control.ErrNotListening) && !errors.As(err, new(*store.LockedError)) {
		return later, err
	}
	// The holder is starting or ending, is a command, which takes a moment, or
	// listens elsewhere.
	later, err = t.attempt(ctx, func(directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error) {
		waiting, cancel := context.WithTimeout(ctx, store.LockPatience)
		defer cancel()
		return store.OpenWhenFree(waiting, directory, options)
	})
	if unanswered && errors.As(err, new(*store.SameClientError)) {
		return false, nil
	}
	return later, err
}

// attempt makes the change alone, or by the agent if one holds the ledger.
func (t Transfer) attempt(ctx context.Context, open openStore) (later bool, err error) {
	later, err = t.alone(open)
	if locked, isLocked := errors.AsType[*store.LockedError](err); isLocked && (locked.PID == 0 || locked.Holder == store.AgentHolder) {
		err = t.byAgent(ctx, locked)
	}
	return later, err
}

// byAgent asks the agent that holds the state.
func (t Transfer) byAgent(ctx context.Context, locked *store.LockedError) error {
	state := control.Directory{Identity: locked.Identity}
	if information, err := os.Stat(t.State); err == nil {
		if stat, ok := information.Sys().(*syscall.Stat_t); ok {
			state.Owner = stat.Uid
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	err := control.ErrNotListening
	if t.Socket != "" {
		err = control.NewClient(control.SocketPath(t.Socket), state).HandOver(ctx, t.Port, t.Name)
	}
	refused, isRefused := errors.AsType[*control.Error](err)
	switch {
	case errors.Is(err, control.ErrNotListening):
		return fmt.Errorf("process %d holds %s, and %w: name the agent's socket with --socket, restart an agent of an older version, "+
			"or stop it first (systemctl stop ssmonitor)", locked.PID, t.State, err)
	case isRefused && refused.Status == http.StatusUnprocessableEntity:
		return failure.Wrong(err)
	case isRefused && refused.Status == http.StatusConflict:
		return &store.SameClientError{Port: t.Port, Client: t.Name}
	case errors.Is(err, fs.ErrPermission):
		return failure.Remedied(err)
	}
	return err
}

// alone reads the counters, if there are any, and changes the database. Until
// it returns, no agent can start with this state.
func (t Transfer) alone(open openStore) (later bool, err error) {
	ledger, saved, _, err := open(t.State, store.Options{Holder: store.ClientHolder, Intact: true, Log: t.Log})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("nothing has been saved in %s yet: start the agent, or name its state directory with --state: %w", t.State, err)
	case errors.Is(err, store.ErrDamaged):
		return false, fmt.Errorf("%w: start the agent, which then continues from its backup", err)
	case err != nil:
		return false, err
	}
	defer func() {
		if err := ledger.Close(); err != nil { // what was changed is durable nevertheless
			t.Log.Warn("the ledger has no backup of the change yet", "error", err)
		}
	}()
	if running := presence.RefuseRunning(t.State, settings.DefaultState); running != nil {
		return false, fmt.Errorf("%w, or name its state directory with --state: its totals are not in %s", running, t.State)
	}
	table, err := nft.Open(nft.Options{})
	if err != nil {
		return false, err
	}
	defer func() { _ = table.Close() }()
	var sample accounting.Sample
	if errors.Is(table.Read(&sample), accounting.ErrNoTable) {
		return true, ledger.HandOverLater(t.Port, t.Name)
	}
	meter := accounting.NewMeter(accounting.MeterOptions{Table: table, Store: ledger, Initial: saved, Log: t.Log})
	return false, meter.HandOver(t.Port, t.Name, func(since time.Time) error { return ledger.HandOver(t.Port, t.Name, since) })
}
