package store

import (
	"errors"
	"fmt"
)

// ErrDamaged says that what a file holds is not what was saved to it.
var ErrDamaged = errors.New("damaged")

// LockedError says that another process holds the state directory.
type LockedError struct {
	Directory string
	PID       int    // 0 where the holder has not said yet
	Holder    string // what the process does, such as "run"
}

// Error names the process and what to do.
func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d (ssmonitor %s)", e.PID, e.Holder)
	}
	return fmt.Sprintf("the ledger in %s is held by %s: stop it first, or give another state directory", e.Directory, holder)
}

// NewerError says that a file was written in a format of a later version of
// the program. The file has not been touched.
type NewerError struct {
	Path      string
	Version   uint32 // of the file
	Supported uint32 // the latest that this program knows
}

// Error names both versions and what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has format version %d, this ssmonitor knows versions up to %d: install a newer ssmonitor, or move the file away to begin anew",
		e.Path, e.Version, e.Supported)
}

func damaged(format string, arguments ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, arguments...))
}
