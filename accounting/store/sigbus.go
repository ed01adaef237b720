package store

import (
	"errors"
	"fmt"

	"ssmonitor/internal/sqlitefile"
)

// use calls do, which uses the database and opens it if it is not open. It survives what
// the package comment lists.
func (s *Store) use(do func() error) error {
	err := s.againAfterFault(do)
	if errors.Is(err, ErrDamaged) {
		s.condemn(err)
		err = s.againAfterFault(do)
	}
	return err
}

// againAfterFault is part of use: it repeats do after a fault.
func (s *Store) againAfterFault(do func() error) error {
	return againAfterFault(func() error { return s.closeAfterFault(do) })
}

// againAfterFault calls do until it meets no fault, but not for ever: each time it opens
// the index again.
func againAfterFault(do func() error) (err error) {
	for range 3 {
		if err = do(); !errors.Is(err, sqlitefile.ErrFault) {
			return err
		}
	}
	return err
}

// closeAfterFault calls do. After a fault or a panic it closes the database, and makes it
// usable again.
func (s *Store) closeAfterFault(do func() error) error {
	returned := false
	err := sqlitefile.Guard(func() error {
		err := do()
		returned = true
		return err
	})
	fault := errors.Is(err, sqlitefile.ErrFault)
	if s.db == nil || returned && !fault {
		return err
	}
	s.abandonBackup()
	s.db.Fail(err)
	s.closeDatabase()
	if !fault {
		s.uncertain = true
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.note(false, "%s: %v: it is written again", s.path, err)
	if failure := removeFiles(siblings(s.path)[indexFile:]); failure != nil {
		return failure
	}
	return err
}
