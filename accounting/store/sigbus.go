package store

import (
	"errors"
	"fmt"

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

// attempt calls do, which uses the database and opens it if it is not open.
func (s *Store) attempt(do func() error) error {
	return retrying(func() error { return s.guard(do) })
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
	s.closeDatabase()
	if !errors.Is(err, sqlitefile.ErrFault) {
		s.uncertain = true
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.note(false, "%s: %v: it is written again", s.path, err)
	if failure := removeFiles(siblings(s.path)[2:]); failure != nil {
		return failure
	}
	return err
}
