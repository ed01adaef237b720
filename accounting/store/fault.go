package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ssmonitor/internal/sqlitefile"
)

// retrying calls do until it meets no fault, but not for ever: each time it opens
// the index again.
func retrying(do func() error) (err error) {
	for range 3 {
		if err = do(); !errors.Is(err, sqlitefile.ErrFault) {
			return err
		}
	}
	return err
}

// guard calls do, which uses the database. After a fault or a panic it closes the
// database, and makes it usable again.
func (s *Store) guard(do func() error) error {
	ended := false
	err := sqlitefile.Guard(func() error {
		err := do()
		ended = true
		return err
	})
	if s.db == nil || (ended && !errors.Is(err, sqlitefile.ErrFault)) {
		return err
	}
	s.abandonBackup()
	s.db.Fail(err)
	s.detach()
	if !errors.Is(err, sqlitefile.ErrFault) {
		s.uncertain = true
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.note(false, "%s: %v: it is written again", s.path, err)
	if failure := os.Remove(s.path + "-shm"); failure != nil && !errors.Is(failure, fs.ErrNotExist) {
		return failure
	}
	return err
}

// statementPatience is far above what a statement takes in a large ledger on a slow
// disk. One that takes longer never ends: somebody has made the database for that.
const statementPatience = 5 * time.Minute

// deadline is the context of a connection: it ends the statement that runs. It needs
// no timer, as SQLite asks for its error.
type deadline struct {
	patience time.Duration
	at       time.Time       // zero: there is none
	caller   context.Context // of whoever waits for the statements; nil: nobody
}

// begin sets the deadline and returns the one before.
func (d *deadline) begin() time.Time {
	before := d.at
	d.at = time.Now().Add(d.patience)
	return before
}

func (d *deadline) set(at time.Time) { d.at = at }

// during calls do, which must end in time.
func (d *deadline) during(do func() error) error {
	defer d.set(d.begin())
	return do()
}

// Deadline is part of context.Context.
func (d *deadline) Deadline() (at time.Time, ok bool) { return d.at, !d.at.IsZero() }

// Done is part of context.Context.
func (d *deadline) Done() <-chan struct{} { return nil }

// Err reports whether the time is over, or the caller has left.
func (d *deadline) Err() error {
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
