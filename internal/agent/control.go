package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/health"
	"ssmonitor/output/control"
)

// controlSocket is the socket on which root changes the agent. An agent without it counts
// nevertheless.
type controlSocket struct {
	listener *control.Listener // nil: there is none
	err      error             // why there is none, although there is a socket for readers
}

func (a *agent) openControl() error {
	if a.settings.Socket == "" {
		return nil
	}
	path := control.SocketPath(a.settings.Socket)
	if path == filepath.Clean(a.settings.Socket) {
		return failure.Wrong(errors.New("socket " + a.settings.Socket + ": want another name, since root changes the agent on a socket of this one"))
	}
	a.control.listener, a.control.err = control.Listen(path, a.Log)
	if a.control.err == nil {
		a.closing = append(a.closing, a.control.listener.Close)
	}
	return nil
}

// serveControl answers root's requests until ctx ends.
func (a *agent) serveControl(ctx context.Context) {
	a.board.Observe(health.ControlSocket, a.control.err)
	if a.control.err != nil {
		return
	}
	a.serveSocket(ctx, a.control.listener, health.ControlSocket, control.NewHandler(controller{a, ctx.Done()}))
}

// controller runs what root requests in the agent's loop, one change after the other
// and between two ticks.
type controller struct {
	*agent
	ended <-chan struct{} // closed when the loop ends
}

func (c controller) LedgerIdentity() string { return c.ledger.Identity() }

func (c controller) HandOver(ctx context.Context, port uint16, name string) error {
	err := c.inLoop(ctx, func() error {
		c.follow() // a new name that was written just now is the previous client's
		return c.handOver(port, name)
	})
	switch {
	case errors.As(err, new(*store.UnknownClientError)):
		return &control.Error{Status: http.StatusUnprocessableEntity, Text: err.Error()}
	case errors.As(err, new(*store.SameClientError)):
		return &control.Error{Status: http.StatusConflict, Text: err.Error()}
	}
	return err
}

func (c controller) Forget(ctx context.Context, past usage.Past) error {
	err := c.inLoop(ctx, func() error { return c.forget(past) })
	switch {
	case errors.Is(err, store.ErrNothingToForget):
		return &control.Error{Status: http.StatusUnprocessableEntity, Text: err.Error()}
	case errors.As(err, new(*store.CountedError)):
		return &control.Error{Status: http.StatusConflict, Text: err.Error()}
	}
	return err
}

// forget forgets past clients, after a last reading of what they have used. The log does
// not name them.
func (a *agent) forget(past usage.Past) error {
	err := a.meter.Flush()
	if err == nil {
		err = a.ledger.Forget(past)
	}
	if err == nil {
		a.Log.Info("clients of the past are forgotten")
	}
	return err
}

// inLoop waits until the loop begins with a change and, from then on, for its end.
func (c controller) inLoop(ctx context.Context, change func() error) error {
	done := make(chan error, 1)
	select {
	case c.changes <- func() { done <- change() }:
		return <-done
	case <-ctx.Done():
		return errors.New("the agent is busy: try again")
	case <-c.ended:
		return control.ErrEnding
	}
}

// giveLater gives ports to the clients that were named while no agent ran and the
// counters could not be read.
func (a *agent) giveLater() {
	var errs []error
	for _, client := range a.ledger.Later() {
		if err := a.handOver(client.Port, client.Name); err != nil {
			errs = append(errs, fmt.Errorf("port %d: %w", client.Port, err))
		}
	}
	a.board.Observe(health.Handover, errors.Join(errs...))
}

// handOver gives a port to another client.
func (a *agent) handOver(port uint16, name string) error {
	err := a.meter.HandOver(port, name, func(since time.Time) error { return a.ledger.HandOver(port, name, since) })
	if err == nil {
		a.Log.Info("a port belongs to another client from now on", "port", port, "client", name)
	}
	return err
}
