package store

import (
	"cmp"
	"errors"
	"io/fs"
	"time"
)

// hold takes the lock unless the store has it already. It takes it again if
// somebody has removed or replaced its file.
func (s *Store) hold() error { return s.holdBy(acquire) }

func (s *Store) holdBy(take locker) error {
	if s.lock != nil && isAt(s.lock.file, s.lock.file.Name()) {
		return nil
	}
	if err := makeDirectory(s.directory); err != nil {
		return err
	}
	lock, err := take(s.directory, s.options.Holder)
	if err != nil {
		return err
	}
	if s.lock != nil {
		s.lock.release()
	}
	s.lock = lock
	return nil
}

// attach locks the directory, opens the database and reads everything in it except
// the usage. A damaged or missing database is replaced by a copy of the backup or,
// if there is none, by a new one.
func (s *Store) attach() error {
	if err := s.hold(); err != nil {
		return err
	}
	if err := removeUnfinished(s.directory); err != nil {
		return err
	}
	known := s.accounts
	err := s.load()
	if err == nil && s.behindBackup() {
		s.detach()
		err = explain(s.path, damaged("it holds fewer saves than its backup"))
	}
	switch {
	case err == nil || s.options.Intact:
		return err
	case errors.Is(err, ErrDamaged):
		reason := err
		legible, saves := s.legible()
		aside, err := setAside(s.path, s.options.Now())
		if err != nil {
			return err
		}
		s.note(false, "%v; it is kept as %s", reason, aside)
		s.dropOldest()
		if s.accounts = known; len(known.list) == 0 && saves > 0 {
			s.accounts = legible
		}
		if err := s.restore(true); err != nil {
			return err
		}
		if saves <= s.saves {
			return nil
		}
		return s.replay(legible)
	case errors.Is(err, fs.ErrNotExist):
		return s.restore(false)
	}
	return err
}

// legible returns the accounts of a damaged database and the number of its saves, or 0
// unless all of them can be read: each page has a checksum.
func (s *Store) legible() (found *accounts, saves int64) {
	err := view(s.path, s.options.vfs, openToRead, func(db *database) (err error) {
		if found, err = db.accounts(); err == nil {
			saves, err = db.value("select saves from ledger")
		}
		return err
	})
	if err != nil {
		return nil, 0
	}
	return found, saves
}

// behindBackup reports whether the backup is newer than the database. The
// database's log must then have been damaged.
func (s *Store) behindBackup() bool {
	var saves int64
	err := view(s.backupPath(), s.options.vfs, openImmutable, func(db *database) (err error) {
		saves, err = db.value("select saves from ledger")
		return err
	})
	return err == nil && saves > s.saves
}

// load opens the database and reads it.
func (s *Store) load() error {
	db, err := openToWrite(s.path, s.options.vfs)
	if err != nil {
		return explain(s.path, err)
	}
	s.db = db
	if err := s.reload(); err != nil {
		s.detach()
		return explain(s.path, err)
	}
	return nil
}

// reload reads what the store keeps in memory.
func (s *Store) reload() error {
	accounts, err := s.db.accounts()
	if err != nil {
		return err
	}
	saves, err := s.db.value("select saves from ledger")
	if err != nil {
		return err
	}
	open, err := s.db.value("select count(*) from gap where until is null")
	if err != nil {
		return err
	}
	if err := s.clients.load(s.db); err != nil {
		return err
	}
	if s.calendar, err = s.db.calendar(); err != nil {
		return err
	}
	if s.clock, err = s.db.clock(); err != nil {
		return err
	}
	s.calendar.Zone = cmp.Or(s.options.Zone, s.calendar.Zone)
	s.calendar.MonthDay = cmp.Or(s.options.MonthDay, s.calendar.MonthDay)
	s.accounts, s.saves, s.gapOpen = accounts, saves, open > 0
	s.starts, s.oldest = make(map[start]bool), make(map[int64]time.Time)
	s.calendarSet, s.uncertain, s.attached = false, false, true
	return nil
}

// detach closes the database.
func (s *Store) detach() {
	if s.db != nil {
		s.db.close()
		s.db = nil
	}
}

func (s *Store) dropOldest() {
	dropped, err := dropOldest(s.directory)
	if err != nil {
		s.note(false, "removing the oldest damaged files: %v", err)
	}
	if len(dropped) > 0 {
		s.note(false, "more than %d damaged files were kept in %s: removed %v", maxSetAside, s.directory, dropped)
	}
}
