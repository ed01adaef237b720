package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// hold takes the lock unless the store has it already. It takes it again if
// somebody has removed or replaced its file.
func (s *Store) hold(take locker) error {
	if s.lock != nil && isAt(s.lock.file, s.lock.file.Name()) {
		return nil
	}
	if err := makeDirectory(s.directory); err != nil {
		return err
	}
	lock, err := acquire(s.directory, s.options.Holder, take)
	if err != nil {
		return err
	}
	if s.lock != nil {
		s.lock.release()
	}
	s.lock = lock
	return nil
}

// openLedger opens the database of a directory that is locked, and reads everything in
// it except the usage. A damaged or missing database is replaced by a copy of the
// backup or, if there is none, by a new one.
func (s *Store) openLedger() error {
	if err := removeUnfinished(s.directory); err != nil {
		return err
	}
	known := s.saved.accounts
	err := s.openDatabase()
	if err == nil && s.behindBackup() {
		s.closeDatabase()
		err = explain(s.path, damaged("it holds fewer saves than its backup"))
	}
	switch {
	case err == nil || s.options.Intact:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return s.restore(known, false)
	case !errors.Is(err, ErrDamaged):
		return err
	}
	legible := s.legible()
	if err := s.setAside(err); err != nil {
		return err
	}
	if len(known.list) == 0 && legible.saves > 0 {
		known = legible.accounts
	}
	if err := s.restore(known, true); err != nil || legible.saves <= s.saved.saves {
		return err
	}
	return s.replay(legible.accounts)
}

// ensureOpen opens the database if Open could not, or if somebody has removed,
// replaced or changed it.
func (s *Store) ensureOpen() error {
	missing := false
	if s.db != nil {
		sound, lost, err := s.inspect()
		if sound || err != nil {
			return err
		}
		s.closeDatabase()
		missing = lost
	}
	known := s.saved
	err := s.hold(tryLock)
	if err == nil {
		err = s.openLedger()
	}
	if err == nil && !known.opened && s.saved.saves != known.saves {
		err = fmt.Errorf("%s has changed since it was read: got %d saves, want %d: restart ssmonitor", s.path, s.saved.saves, known.saves)
	}
	if err == nil && missing {
		err = s.missLog(known.accounts)
	}
	if err == nil {
		err = s.replay(known.accounts)
	}
	if err != nil {
		s.closeDatabase()
		s.saved = known
	}
	return err
}

// replay saves the accounts that are newer in memory than in the database, which
// is a copy of the backup or a new one.
func (s *Store) replay(known accounts) error {
	newer := s.newer(known)
	if len(newer.Accounts) == 0 && len(newer.Formers) == 0 {
		return nil
	}
	_, err := s.save(newer)
	return explain(s.path, err)
}

// newer returns what is newer in memory than in the database. An account is older
// there if its last save was durable although it failed.
func (s *Store) newer(known accounts) accounting.State {
	newer := known.state()
	newer.Accounts = slices.DeleteFunc(newer.Accounts, func(account accounting.Account) bool {
		saved := s.saved.accounts.get(account.Key)
		return account == saved || account.Total.Packets < saved.Total.Packets || account.Total.Bytes < saved.Total.Bytes
	})
	if slices.Equal(newer.Formers, s.saved.accounts.state().Formers) {
		newer.Formers = nil
	}
	return newer
}

// legible returns the accounts of a damaged database and the number of its saves, or 0
// unless all of them can be read: each page has a checksum.
func (s *Store) legible() (found contents) {
	if view(s.path, s.options.vfs, openToRead, found.readAccounts) != nil {
		return contents{}
	}
	return found
}

// readAccounts reads the accounts and the number of saves.
func (c *contents) readAccounts(db *database) (err error) {
	if c.accounts, err = db.accounts(); err == nil {
		c.saves, err = db.saves()
	}
	return err
}

// behindBackup reports whether the backup is newer than the database. The
// database's log must then have been damaged.
func (s *Store) behindBackup() bool {
	var saves int64
	err := view(s.backupPath(), s.options.vfs, openImmutable, func(db *database) (err error) {
		saves, err = db.saves()
		return err
	})
	return err == nil && saves > s.saved.saves
}

// openDatabase opens the database and reads it.
func (s *Store) openDatabase() error {
	db, err := openToWrite(s.path, s.options.vfs)
	if err != nil {
		return explain(s.path, err)
	}
	s.db = db
	db.deadline.progress = s.options.Progress
	if err := s.reload(); err != nil {
		s.closeDatabase()
		return explain(s.path, err)
	}
	return nil
}

// reload reads what the store keeps in memory.
func (s *Store) reload() error {
	saved, err := s.db.contents()
	if err != nil {
		return err
	}
	s.saved, s.uncertain = saved, false
	s.calendar = usage.Calendar{
		Zone: cmp.Or(s.options.Zone, saved.calendar.Zone), MonthDay: cmp.Or(s.options.MonthDay, saved.calendar.MonthDay),
	}
	return nil
}

func (db *database) contents() (c contents, err error) {
	if err = c.readAccounts(db); err != nil {
		return c, err
	}
	gaps, err := db.value("select count(*) from gap where until is null")
	if err != nil {
		return c, err
	}
	if c.clients, err = db.clients(); err != nil {
		return c, err
	}
	if c.calendar, err = db.calendar(); err != nil {
		return c, err
	}
	if c.clock, err = db.clock(); err != nil {
		return c, err
	}
	c.opened, c.gapOpen = true, gaps > 0
	c.starts, c.oldest = make(map[periodKey]bool), make(map[int64]time.Time)
	return c, nil
}

func (s *Store) closeDatabase() {
	if s.db != nil {
		s.db.close()
		s.db = nil
	}
}

// setAside renames a damaged database.
func (s *Store) setAside(reason error) error {
	aside, err := renameDamaged(s.path, s.options.Now())
	if err != nil {
		return err
	}
	s.note(false, "%v; it is kept as %s", reason, aside)
	dropped, err := dropOldest(s.directory)
	if err != nil {
		s.note(false, "removing the oldest damaged files: %v", err)
	}
	if len(dropped) > 0 {
		s.note(false, "more than %d damaged files were kept in %s: removed %v", maxSetAside, s.directory, dropped)
	}
	return nil
}
