// Package handover gives ports to other clients, and forgets past clients: by the agent that
// runs, or in the ledger where none does.
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
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/presence"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/nft"
	"ssmonitor/output/control"
)

// answerPatience is how long a command waits for the agent's answer.
const answerPatience = 20 * time.Second

// Ledger is what holds the clients.
type Ledger struct {
	State  string // its directory
	Socket string // of the agent, for readers; empty: none
	Log    *slog.Logger
}

// change is made by the agent that holds the ledger, or without one.
type change struct {
	ask    func(ctx context.Context, agent *control.Client) error
	alone  func(ledger *store.Store, saved accounting.State) error
	status int   // by which an agent refuses what is made already
	made   error // stands for that
}

// isMade reports whether the error says that there was nothing left to change.
func isMade(err error) bool {
	return errors.As(err, new(*store.SameClientError)) || errors.Is(err, store.ErrNothingToForget)
}

// openStore is store.Open, or its like.
type openStore func(directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error)

// Give gives the port to another client. What was counted so far belongs to the previous
// client, whose name is the one that the port has, if any: an agent reads that by itself,
// but none may have run since it was written. later reports that the agent does it when it starts, because the counters can't
// be read now.
func (l Ledger) Give(ctx context.Context, port accounting.Port, name string) (later bool, err error) {
	err = l.apply(ctx, change{
		ask: func(ctx context.Context, agent *control.Client) error { return agent.HandOver(ctx, port.Number, name) },
		alone: func(ledger *store.Store, saved accounting.State) (err error) {
			later, err = l.giveAlone(ledger, saved, port, name)
			return err
		},
		status: http.StatusConflict, made: &store.SameClientError{Port: port.Number, Client: name},
	})
	return later, err
}

// Forget forgets past clients.
func (l Ledger) Forget(ctx context.Context, past usage.Past) error {
	return l.apply(ctx, change{
		ask:    func(ctx context.Context, agent *control.Client) error { return agent.Forget(ctx, past) },
		alone:  func(ledger *store.Store, _ accounting.State) error { return ledger.Forget(past) },
		status: http.StatusUnprocessableEntity, made: store.ErrNothingToForget,
	})
}

// apply makes a change.
func (l Ledger) apply(ctx context.Context, c change) error {
	if os.Geteuid() != 0 {
		return errors.New("only root changes clients: run it as root")
	}
	err := l.attempt(ctx, c, store.Open)
	unanswered := errors.Is(err, control.ErrNoAnswer) // an agent has ended and may have made the change
	if !unanswered && !errors.Is(err, control.ErrNotListening) && !errors.As(err, new(*store.LockedError)) {
		return err
	}
	// The holder is starting or ending, is a command, which takes a moment, or
	// listens elsewhere.
	err = l.attempt(ctx, c, func(directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error) {
		waiting, cancel := context.WithTimeout(ctx, store.LockPatience)
		defer cancel()
		return store.OpenWhenFree(waiting, directory, options)
	})
	if unanswered && isMade(err) {
		return nil
	}
	return err
}

// attempt makes the change alone, or by the agent if one holds the ledger.
func (l Ledger) attempt(ctx context.Context, c change, open openStore) error {
	err := l.alone(c, open)
	if locked, isLocked := errors.AsType[*store.LockedError](err); isLocked && (locked.PID == 0 || locked.Holder == store.AgentHolder) {
		err = l.byAgent(ctx, c, locked)
	}
	return err
}

// byAgent asks the agent that holds the state.
func (l Ledger) byAgent(ctx context.Context, c change, locked *store.LockedError) error {
	state := control.Directory{Identity: locked.Identity}
	if information, err := os.Stat(l.State); err == nil {
		if stat, ok := information.Sys().(*syscall.Stat_t); ok {
			state.Owner = stat.Uid
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	err := control.ErrNotListening
	if l.Socket != "" {
		err = c.ask(ctx, control.NewClient(control.SocketPath(l.Socket), state))
	}
	refused, isRefused := errors.AsType[*control.Error](err)
	switch {
	case errors.Is(err, control.ErrNotListening):
		return fmt.Errorf("process %d holds %s, and %w: name the agent's socket with --socket, restart an agent of an older version, "+
			"or stop it first (systemctl stop ssmonitor)", locked.PID, l.State, err)
	case isRefused && refused.Status == c.status:
		return c.made
	case isRefused && refused.Status == http.StatusUnprocessableEntity:
		return failure.Wrong(err)
	case errors.Is(err, fs.ErrPermission):
		return failure.Remedied(err)
	}
	return err
}

// alone changes the database. Until it returns, no agent can start with this state.
func (l Ledger) alone(c change, open openStore) error {
	ledger, saved, _, err := open(l.State, store.Options{Holder: store.ClientHolder, Intact: true, Log: l.Log})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("nothing has been saved in %s yet: start the agent, or name its state directory with --state: %w", l.State, err)
	case errors.Is(err, store.ErrDamaged):
		return fmt.Errorf("%w: start the agent, which then continues from its backup", err)
	case err != nil:
		return err
	}
	defer func() {
		if err := ledger.Close(); err != nil { // what was changed is durable nevertheless
			l.Log.Warn("the ledger has no backup of the change yet", "error", err)
		}
	}()
	if running := presence.RefuseRunning(l.State, settings.DefaultState); running != nil {
		return fmt.Errorf("%w, or name its state directory with --state: its totals are not in %s", running, l.State)
	}
	return c.alone(ledger, saved)
}

// giveAlone reads the counters, if there are any, and gives the port away.
func (l Ledger) giveAlone(ledger *store.Store, saved accounting.State, port accounting.Port, name string) (later bool, err error) {
	if port.Name != name {
		ledger.ResolveName(port)
	}
	table, err := nft.Open(nft.Options{})
	if err != nil {
		return false, err
	}
	defer func() { _ = table.Close() }()
	var sample accounting.Sample
	if errors.Is(table.Read(&sample), accounting.ErrNoTable) {
		return true, ledger.HandOverLater(port.Number, name)
	}
	meter := accounting.NewMeter(accounting.MeterOptions{Table: table, Store: ledger, Initial: saved, Log: l.Log})
	return false, meter.HandOver(port.Number, name, func(since time.Time) error { return ledger.HandOver(port.Number, name, since) })
}
