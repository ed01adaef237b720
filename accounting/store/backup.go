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

	"github.com/ncruces/go-sqlite3"
)

const (
	checkpointMode = sqlite3.CHECKPOINT_PASSIVE
	backupEvery    = 24 * time.Hour
	backupRetry    = time.Hour
	// backupStep is how many pages a backup copies before it looks whether it
	// should end.
	backupStep = 1024
)

// backup is the state of the backups.
type backup struct {
	due    time.Time // zero: at once
	saves  int64     // that the last one of this process holds
	cancel context.CancelFunc
	done   chan backupResult // nil: none is being made
}

type backupResult struct {
	saves int64
	err   error
}

func (s *Store) backupPath() string { return filepath.Join(s.directory, backupName) }

// startBackup makes a backup beside the saves when one is due, and takes notice
// of the last one's result.
func (s *Store) startBackup() {
	select {
	case result := <-s.backup.done:
		s.endBackup(result)
	default:
	}
	now := s.options.Now()
	if s.backup.due.IsZero() {
		if made, err := os.Stat(s.backupPath()); err == nil {
			s.backup.due = made.ModTime().Add(backupEvery)
		}
	}
	// A clock that was set back must not put it off for long.
	if s.backup.done != nil || (now.Before(s.backup.due) && s.backup.due.Sub(now) <= backupEvery) {
		return
	}
	var ctx context.Context
	ctx, s.backup.cancel = context.WithCancel(context.Background())
	done := make(chan backupResult, 1)
	s.backup.done = done
	go func() {
		saves, err := s.makeBackup(ctx)
		done <- backupResult{saves, err}
	}()
}

func (s *Store) endBackup(result backupResult) {
	s.backup.cancel()
	s.backup.done = nil
	if result.err == nil {
		s.backup.saves, s.backup.due = result.saves, s.options.Now().Add(backupEvery)
		return
	}
	s.backup.due = s.options.Now().Add(backupRetry)
	if errors.Is(result.err, context.Canceled) {
		return
	}
	s.note(false, "the ledger's backup can't be written: %v", result.err)
	if errors.Is(result.err, ErrDamaged) {
		s.condemn(result.err)
	}
}

// stopBackup ends a backup that is being made.
func (s *Store) stopBackup() {
	if s.backup.done != nil {
		s.backup.cancel()
		s.endBackup(<-s.backup.done)
	}
}

// makeBackup copies the database as the last save left it, through a connection
// of its own: saves go on meanwhile. It returns how many saves the copy holds.
func (s *Store) makeBackup(ctx context.Context) (saves int64, err error) {
	db, err := connect(s.path, s.options.vfs, sqlite3.OPEN_READONLY, nil)
	if err != nil {
		return 0, explain(s.path, err)
	}
	defer db.close()
	if err := db.Exec("begin"); err != nil {
		return 0, explain(s.path, err)
	}
	if saves, err = db.value("select saves from ledger"); err != nil { // from here on it reads this state
		return 0, explain(s.path, err)
	}
	return saves, s.copyTo(ctx, db, s.backupPath())
}

// copyTo replaces the database at path by a copy.
func (s *Store) copyTo(ctx context.Context, db *database, path string) (err error) {
	temporary := path + newSuffix
	if err := removeDatabase(temporary); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = removeDatabase(temporary)
		}
	}()
	// Pages get their checksums from the first one on, if the file says so
	// before it is copied to.
	if err := create(temporary, s.options.vfs, enableChecksums); err != nil {
		return explain(temporary, err)
	}
	settings := url.Values{"vfs": {cmp.Or(s.options.vfs, vfsName)}, "_pragma": {"journal_mode(off)", "cache_size(-2000)"}}
	copying, err := db.BackupInit("main", uri(temporary, settings))
	if err != nil {
		return explain(temporary, err)
	}
	for done := false; err == nil && !done; {
		if err = ctx.Err(); err == nil {
			done, err = copying.Step(backupStep)
		}
	}
	if err = errors.Join(err, copying.Close()); err != nil {
		return explain(path, err)
	}
	// A page of zeros has the checksum of one: the copy is checked in full.
	if err := verify(temporary, s.options.vfs); err != nil {
		return err
	}
	return putInPlace(temporary, path, s.options.rename)
}

// condemn ends the use of a damaged database. The next save goes on with the
// backup.
func (s *Store) condemn(reason error) {
	s.detach()
	aside, err := setAside(s.path, s.options.Now())
	if err != nil {
		s.note(false, "%v; it can't be renamed: %v", reason, err)
		return
	}
	s.note(false, "%v; it is kept as %s", reason, aside)
	s.dropOldest()
}

// rescue writes a database anew whose files were removed or replaced, from those
// that are still open.
func (s *Store) rescue() error {
	if err := s.hold(); err != nil {
		return err
	}
	err := s.copyTo(context.Background(), s.db, s.path)
	if errors.Is(err, ErrDamaged) {
		return nil // there is nothing to rescue
	}
	return err
}

// restore opens the backup in the place of the database, or a new database
// where there is none.
func (s *Store) restore(lost bool) error {
	known := s.accounts
	temporary := s.path + newSuffix
	err := copyFile(s.backupPath(), temporary)
	if err == nil {
		if err = s.adopt(temporary); err == nil {
			s.note(false, "the ledger continues from its backup of %s: the next reading makes the totals exact if the table of counters is the same", s.backupTime())
			return s.beginGap()
		}
		s.accounts = known
	}
	switch {
	case errors.Is(err, ErrDamaged):
		lost = true
		if aside, failure := setAside(s.backupPath(), s.options.Now()); failure == nil {
			err = fmt.Errorf("%w; it is kept as %s", err, aside)
		}
		s.note(false, "the backup can't be used: %v", err)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := removeDatabase(temporary); err != nil {
		return err
	}
	if err := create(temporary, s.options.vfs, initialize); err != nil {
		return explain(temporary, err)
	}
	if err := s.adopt(temporary); err != nil {
		return err
	}
	switch {
	case len(known) > 0:
		s.note(false, "there is no backup of the ledger: it continues with the totals of this process, and without the usage so far")
		return s.beginGap()
	case lost:
		s.note(true, "no good copy of the ledger is left in %s: the totals begin anew", s.directory)
	}
	return nil
}

// adopt puts a complete database in place and opens it.
func (s *Store) adopt(temporary string) error {
	if err := verify(temporary, s.options.vfs); err != nil {
		return err
	}
	if err := putInPlace(temporary, s.path, s.options.rename); err != nil {
		return err
	}
	return s.load()
}

// verify reads all of a database that nobody writes to.
func verify(path, vfs string) error {
	return view(path, vfs, openImmutable, func(db *database) error {
		_, err := db.accounts()
		return cmp.Or(err, new(clients).load(db), db.quickCheck())
	})
}

// beginGap records that the usage since the last save of the database is not
// known. What the next reading adds for that time goes with it.
func (s *Store) beginGap() error {
	err := transact(s.db.Conn, func() error {
		return s.db.run("insert into gap (since, packets_in, bytes_in, packets_out, bytes_out) select saved, 0, 0, 0, 0 from ledger "+
			"where not exists (select 1 from gap where until is null)", nil)
	})
	s.gapOpen = err == nil
	return explain(s.path, err)
}

func (s *Store) backupTime() string {
	saved, _ := s.db.value("select saved from ledger") // a failure shows at once
	return time.Unix(saved, 0).In(s.calendar.Zone).Format(time.RFC3339)
}

func copyFile(from, to string) error {
	source, err := openRegular(from, os.O_RDONLY)
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
