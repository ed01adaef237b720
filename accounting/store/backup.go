package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"ssmonitor/internal/sqlitefile"
)

const (
	backupEvery = 24 * time.Hour
	backupRetry = time.Hour
	// backupStep is how many pages a backup copies between two checks of whether
	// it was canceled.
	backupStep = 1024
)

// backup is the state of the backups.
type backup struct {
	due    time.Time          // of the next one; zero: at once
	saves  int64              // number of saves in the last one that this process made
	cancel context.CancelFunc // ends the running backup
	done   chan backupResult  // nil if no backup is running
	of     *database          // the database that was open when the running backup began
	size   int64              // of the file, when it was last known to be good
}

type backupResult struct {
	saves int64
	err   error
}

func (s *Store) backupPath() string { return filepath.Join(s.directory, backupName) }

// backupFile returns the time and the size of the backup, or 0 if there is none.
func (s *Store) backupFile() (made time.Time, size int64) {
	file, err := os.Stat(s.backupPath())
	if err != nil {
		return made, 0
	}
	return file.ModTime(), file.Size()
}

// startBackup starts a backup in the background if one is due, and handles the
// result of the one before.
func (s *Store) startBackup() {
	select {
	case result := <-s.backup.done:
		s.endBackup(result)
	default:
	}
	now := s.options.Now()
	made, size := s.backupFile()
	if s.backup.due.IsZero() && size > 0 {
		s.backup.due, s.backup.size = made.Add(backupEvery), size
	}
	if size < s.backup.size { // somebody else has truncated or removed it
		s.backup.due, s.backup.size = now, size
	}
	// A clock that was set back must not delay the backup for long.
	if s.backup.done != nil || (now.Before(s.backup.due) && s.backup.due.Sub(now) <= backupEvery) {
		return
	}
	var ctx context.Context
	ctx, s.backup.cancel = context.WithCancel(context.Background())
	done := make(chan backupResult, 1)
	s.backup.done, s.backup.of = done, s.db
	go func() {
		saves, err := s.makeBackup(ctx)
		done <- backupResult{saves, err}
	}()
}

// backUp starts a backup in the background now, since the last one lacks a change
// that no reading of the counters can restore.
func (s *Store) backUp() {
	s.abandonBackup() // it may have begun before the change
	s.backup.due = s.options.Now()
	s.startBackup()
}

func (s *Store) endBackup(result backupResult) {
	s.backup.cancel()
	s.backup.done = nil
	if result.err == nil {
		s.backup.saves, s.backup.due = result.saves, s.options.Now().Add(backupEvery)
		_, s.backup.size = s.backupFile()
		return
	}
	s.backup.due = s.options.Now().Add(backupRetry)
	if errors.Is(result.err, context.Canceled) {
		return
	}
	s.note(false, "the ledger's backup can't be written: %v", result.err)
	// The damage of a database that was replaced meanwhile does not concern the
	// current one.
	if errors.Is(result.err, ErrDamaged) && s.db == s.backup.of {
		s.condemn(result.err)
	}
}

// stopBackup cancels a running backup and waits for its end.
func (s *Store) stopBackup() {
	if s.backup.done != nil {
		s.backup.cancel()
		s.endBackup(<-s.backup.done)
	}
}

// abandonBackup cancels a running backup of a database that is not used any more,
// and waits for its end.
func (s *Store) abandonBackup() {
	if s.backup.done != nil {
		s.backup.cancel()
		<-s.backup.done
		s.backup.done = nil
	}
}

// makeBackup copies the database as of the last save, through a connection of its
// own, so that saves can continue meanwhile. It returns the number of saves in the
// copy.
func (s *Store) makeBackup(ctx context.Context) (saves int64, err error) {
	db, err := connect(s.path, s.options.vfs, readOnly())
	if err != nil {
		return 0, explain(s.path, err)
	}
	defer db.close()
	err = db.Guard(func() (err error) {
		if err = db.Exec("begin"); err == nil {
			saves, err = db.saves() // the first read fixes the state that is copied
		}
		if err != nil {
			return explain(s.path, err)
		}
		return s.copyTo(ctx, db, s.backupPath())
	})
	return saves, err
}

// copyTo replaces the database at path by a copy.
func (s *Store) copyTo(ctx context.Context, db *database, path string) (err error) {
	temporary := path + newSuffix
	if err := removeFiles(siblings(temporary)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = removeFiles(siblings(temporary))
		}
	}()
	// Every page gets a checksum if the file has them enabled before the copying.
	if err := create(temporary, s.options.vfs, enableChecksums); err != nil {
		return explain(temporary, err)
	}
	parameters := url.Values{"_pragma": {"journal_mode(off)", "cache_size(-2000)"}, "vfs": {s.options.vfs}}
	copying, err := db.BackupInit("main", sqlitefile.URI(temporary, parameters))
	if err != nil {
		return explain(temporary, err)
	}
	for done := false; err == nil && !done; {
		if err = ctx.Err(); err == nil {
			done, err = copying.Step(backupStep)
		}
	}
	closeErr := copying.Close() // repeats the error of a failed step
	if err = cmp.Or(err, closeErr); err != nil {
		return explain(db.path, err)
	}
	// A page of zeros has a valid checksum, so the whole copy is checked.
	if err := verify(temporary, s.options.vfs); err != nil {
		return err
	}
	return putInPlace(temporary, path, s.options.rename)
}

// condemn closes a damaged database and renames it. The next save continues from
// the backup.
func (s *Store) condemn(reason error) {
	s.abandonBackup()
	s.closeDatabase()
	if err := s.setAside(reason); err != nil {
		s.note(false, "%v; it can't be renamed: %v", reason, err)
	}
}

// rescue writes the database again after its files were removed or replaced. It
// copies it from the files that are still open.
func (s *Store) rescue() error {
	if err := s.hold(tryLock); err != nil {
		return err
	}
	if err := s.clearPlace(); err != nil {
		return err
	}
	err := s.copyTo(context.Background(), s.db, s.path)
	if errors.Is(err, ErrDamaged) {
		return nil // there is nothing to rescue
	}
	return err
}

// clearPlace renames directories that are in place of the database's files.
func (s *Store) clearPlace() error {
	for _, name := range siblings(s.path) {
		if found, err := os.Lstat(name); err != nil || !found.IsDir() {
			continue
		}
		aside := name + ".moved-" + s.options.Now().UTC().Format(asideFormat)
		if err := os.Rename(name, aside); err != nil {
			return err
		}
		s.note(false, "%s was a directory: it is kept as %s", name, aside)
	}
	return nil
}

// restore replaces the database by a copy of the backup, or by a new database if
// there is no usable backup, and opens it. known are the accounts that are newer.
func (s *Store) restore(known accounts, lost bool) error {
	temporary := s.path + newSuffix
	err := copyFile(s.backupPath(), temporary)
	if err == nil {
		if err = s.adopt(temporary); err == nil {
			s.note(false, "the ledger continues from its backup of %s: the next reading makes the totals exact if the table of counters is the same", s.backupTime())
			return s.beginGap()
		}
	}
	switch {
	case errors.Is(err, ErrDamaged):
		lost = true
		if aside, failure := renameDamaged(s.backupPath(), s.options.Now()); failure == nil {
			err = fmt.Errorf("%w; it is kept as %s", err, aside)
		}
		s.note(false, "the backup can't be used: %v", err)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := removeFiles(siblings(temporary)); err != nil {
		return err
	}
	if err := create(temporary, s.options.vfs, initialize); err != nil {
		return explain(temporary, err)
	}
	if err := s.adopt(temporary); err != nil {
		return err
	}
	switch {
	case len(known.list) > 0:
		s.note(false, "there is no backup of the ledger: it continues with its totals and without the usage so far")
		return s.beginGap()
	case lost:
		s.note(true, "no usable copy of the ledger is left in %s: the totals start again at 0", s.directory)
	}
	return nil
}

// adopt verifies a new database, puts it in place and opens it.
func (s *Store) adopt(temporary string) error {
	if err := verify(temporary, s.options.vfs); err != nil {
		return err
	}
	if err := putInPlace(temporary, s.path, s.options.rename); err != nil {
		return err
	}
	return s.openDatabase()
}

// verify checks all of a database that nobody writes to.
func verify(path, vfs string) error {
	return view(path, vfs, openImmutable, func(db *database) error {
		if _, err := db.accounts(); err != nil {
			return err
		}
		if _, err := db.clients(); err != nil {
			return err
		}
		return db.quickCheck()
	})
}

// beginGap records that the usage since the last save in the database is not
// known. The next save adds to it what was counted in that time.
func (s *Store) beginGap() error {
	err := inTransaction(s.db.Conn.Conn, func() error {
		return s.db.run("insert into gap (since, packets_in, bytes_in, packets_out, bytes_out) select saved, 0, 0, 0, 0 from ledger "+
			"where not exists (select 1 from gap where until is null)", nil)
	})
	s.saved.gapOpen = err == nil
	return explain(s.path, err)
}

func (s *Store) backupTime() string {
	saved, _ := s.db.value("select saved from ledger") // the next statement fails as well
	return time.Unix(saved, 0).In(s.calendar.Zone).Format(time.RFC3339)
}

func copyFile(from, to string) error {
	source, err := sqlitefile.OpenRegular(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := createFile(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
