package main

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
	"ssmonitor/nft"
	"ssmonitor/output/control"
)

const (
	// lockPatience is how long a command waits for an agent that starts or ends, and
	// an agent for a command.
	lockPatience = 5 * time.Second
	// answerPatience is how long a command waits for the agent's answer.
	answerPatience = 20 * time.Second
)

// transfer is a port that another client gets.
type transfer struct {
	port   uint16
	name   string
	socket string // of the agent, for readers; empty: none
	log    *slog.Logger
}

// openStore is store.Open, or its like.
type openStore func(directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error)

// NewClient gives the port to another client: by the agent that holds the state, or
// without one. later reports that the agent does it when it starts, because the
// counters can't be read now.
func (h savedHistory) NewClient(ctx context.Context, t transfer) (later bool, err error) {
	if os.Geteuid() != 0 {
		return false, errors.New("only root changes clients: run it as root")
	}
	whenFree := func(directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error) {
		waiting, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		return store.OpenWhenFree(waiting, directory, options)
	}
	unanswered := false // an agent has ended and may have made the change
	for _, open := range []openStore{store.Open, whenFree} {
		later, err = h.transferAlone(t, open)
		if locked, isLocked := errors.AsType[*store.LockedError](err); isLocked && (locked.PID == 0 || locked.Holder == runHolder) {
			err = h.transferByAgent(ctx, t, locked)
		}
		switch {
		case unanswered && errors.As(err, new(*store.SameClientError)):
			return false, nil
		case errors.Is(err, control.ErrNoAnswer):
			unanswered = true
		case !errors.Is(err, control.ErrNotListening) && !errors.As(err, new(*store.LockedError)):
			return later, err
		}
		// The holder is starting or ending, is a command, which takes a moment, or
		// listens elsewhere.
	}
	return later, err
}

// transferByAgent asks the agent that holds the state.
func (h savedHistory) transferByAgent(ctx context.Context, t transfer, locked *store.LockedError) error {
	state := control.State{Identity: locked.Identity}
	if information, err := os.Stat(h.directory); err == nil {
		if stat, ok := information.Sys().(*syscall.Stat_t); ok {
			state.Owner = stat.Uid
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	err := control.ErrNotListening
	if t.socket != "" {
		err = control.NewClient(control.SocketPath(t.socket), state).NewClient(ctx, t.port, t.name)
	}
	refused, isRefused := errors.AsType[*control.Error](err)
	switch {
	case errors.Is(err, control.ErrNotListening):
		return fmt.Errorf("process %d holds %s, and %w: name the agent's socket with --socket, restart an agent of an older version, "+
			"or stop it first (systemctl stop ssmonitor)", locked.PID, h.directory, err)
	case isRefused && refused.Status == http.StatusUnprocessableEntity:
		return wrongUsage(err)
	case isRefused && refused.Status == http.StatusConflict:
		return &store.SameClientError{Port: t.port, Client: t.name}
	case errors.Is(err, fs.ErrPermission):
		return &ownRemedy{err}
	}
	return err
}

// transferAlone reads the counters, if there are any, and changes the database. Until
// it returns, no agent can start with this state.
func (h savedHistory) transferAlone(t transfer, open openStore) (later bool, err error) {
	options := commandStore(clientHolder)
	options.Intact, options.Log = true, t.log
	ledger, saved, _, err := open(h.directory, options)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("nothing has been saved in %s yet: start the agent, or name its state directory with --state: %w", h.directory, err)
	case errors.Is(err, store.ErrDamaged):
		return false, fmt.Errorf("%w: start the agent, which then continues from its backup", err)
	case err != nil:
		return false, err
	}
	defer func() {
		if err := ledger.Close(); err != nil { // what was changed is durable nevertheless
			t.log.Warn("the ledger has no backup of the change yet", "error", err)
		}
	}()
	if running := presence.Running(h.directory, defaultState); running != nil {
		return false, fmt.Errorf("%w, or name its state directory with --state: its totals are not in %s", running, h.directory)
	}
	table, err := nft.Open(nft.Options{})
	if err != nil {
		return false, err
	}
	defer func() { _ = table.Close() }()
	var sample accounting.Sample
	if errors.Is(table.Read(&sample), accounting.ErrNoTable) {
		return true, ledger.NewClientLater(t.port, t.name)
	}
	meter := accounting.NewMeter(accounting.MeterOptions{Source: table, Store: ledger, Saved: saved, Log: t.log})
	return false, meter.HandOver(t.port, t.name, func(since time.Time) error { return ledger.NewClient(t.port, t.name, since) })
}
