package store

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// ErrDamaged says that the contents of a file are not what was saved to it.
var ErrDamaged = errors.New("damaged")

// LockedError says that another process holds the state directory.
type LockedError struct {
	Directory string
	PID       int       // 0 if the holder has not written it yet
	Holder    string    // what the process does, such as "run"
	Since     time.Time // when the holder took the directory; zero if it is not known
	Identity  string    // of the directory: the same as the holder's [Store.Identity]
}

// Error names the process and what to do.
func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d (ssmonitor %s)", e.PID, e.Holder)
	}
	return fmt.Sprintf("the ledger in %s is held by %s: stop it first, or use another state directory", e.Directory, holder)
}

// NewerError says that a later version of the program wrote the database, which
// is left unchanged.
type NewerError struct {
	Path      string
	Version   int // of the database's schema
	Supported int // the latest that this program knows
}

// Error names both versions and what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has schema version %d, this ssmonitor knows versions up to %d: install a newer ssmonitor, or move the file away to start again at 0",
		e.Path, e.Version, e.Supported)
}

// UnknownClientError is a change for a port that was never counted.
type UnknownClientError struct{ Port uint16 }

// Error names the port.
func (e *UnknownClientError) Error() string {
	return fmt.Sprintf("port %d: nothing was ever counted on it", e.Port)
}

// SameClientError is an attempt to give a port to the client that has it.
type SameClientError struct {
	Port   uint16
	Client string
}

// Error names the port and the client.
func (e *SameClientError) Error() string {
	return fmt.Sprintf("port %d belongs to %q already: a new client needs another name", e.Port, e.Client)
}

// ErrNothingToForget means that no past client is selected.
var ErrNothingToForget = errors.New("no such client is known, or it is forgotten already")

// CountedError is an attempt to forget a client that has a port.
type CountedError struct {
	Client string
	Port   uint16
}

// Error names the client, the port and what to do.
func (e *CountedError) Error() string {
	return fmt.Sprintf("client %q still has port %d: stop counting it first, or give it to another client by ssmonitor client new", e.Client, e.Port)
}

// refused reports whether a change of clients was a mistake, so that nothing was changed.
func refused(err error) bool {
	return errors.Is(err, ErrNothingToForget) || errors.As(err, new(*CountedError)) ||
		errors.As(err, new(*UnknownClientError)) || errors.As(err, new(*SameClientError))
}

func damaged(format string, arguments ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, arguments...))
}

// explain adds the path to an error of SQLite, and the error that it stands for:
// ErrDamaged, or the operating system's for a full disk.
func explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("%s is %w", path, err)
	case errors.Is(err, sqlite3.IOERR_DATA): // SQLite calls it a disk I/O error
		return fmt.Errorf("%s is %w: a page does not match its checksum (%w)", path, ErrDamaged, err)
	case errors.Is(err, sqlite3.CORRUPT), errors.Is(err, sqlite3.NOTADB),
		errors.Is(err, sqlite3.IOERR_SHORT_READ), errors.Is(err, sqlite3.IOERR_CORRUPTFS):
		return fmt.Errorf("%s is %w: %w", path, ErrDamaged, err)
	case errors.Is(err, sqlite3.FULL):
		return fmt.Errorf("%s: %w (%w)", path, syscall.ENOSPC, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
