package store

import (
	"context"
	"time"
)

// statementPatience is far above what a statement takes in a large ledger on a slow
// disk. One that takes longer never ends: somebody has made the database for that.
const statementPatience = 5 * time.Minute

// deadline is the context of a connection: it ends the statement that runs. It needs
// no timer, as SQLite asks for its error.
type deadline struct {
	patience time.Duration
	progress func()          // runs whenever a statement begins or asks
	at       time.Time       // zero: there is none
	caller   context.Context // of whoever waits for the statements; nil: nobody
}

// start gives the statement that begins now its time, and returns the deadline of the
// statement that it is nested in, which [deadline.restore] restores.
func (d *deadline) start() (before time.Time) {
	d.progress()
	before = d.at
	d.at = time.Now().Add(d.patience)
	return before
}

func (d *deadline) restore(before time.Time) { d.at = before }

// Deadline is part of context.Context.
func (d *deadline) Deadline() (at time.Time, ok bool) { return d.at, !d.at.IsZero() }

// Done is part of context.Context.
func (d *deadline) Done() <-chan struct{} { return nil }

// Err reports whether the time is over, or the caller has left.
func (d *deadline) Err() error {
	d.progress()
	if d.caller != nil && d.caller.Err() != nil {
		return d.caller.Err()
	}
	if d.at.IsZero() || time.Now().Before(d.at) {
		return nil
	}
	return context.DeadlineExceeded
}

// Value is part of context.Context.
func (d *deadline) Value(any) any { return nil }
