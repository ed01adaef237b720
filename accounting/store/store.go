package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// Options configure a store.
type Options struct {
	// Holder is the subcommand that opens the store, one word such as "run". The
	// error names it when another process tries to open the same directory.
	Holder string
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
	// Uptime is the time since the machine was booted, which shows when the clock
	// was set; nil stands for the kernel's, or for Now if that is not nil.
	Uptime func() time.Duration
	// Boot is the id of the boot, for a process that can't read it. Empty stands for
	// the kernel's.
	Boot string
	// Zone determines when hours, days and months begin. Nil stands for the zone
	// of the last save, which is time.Local for a new ledger.
	Zone *time.Location
	// MonthDay is the day on which a month begins, 1 to 28. 0 stands for the day
	// of the last save, which is 1 for a new ledger.
	MonthDay int
	// KeepHours and KeepDays are how long usage by hour and by day is kept. 0 deletes
	// nothing: a command leaves that to the agent. Usage by month is kept for ever.
	KeepHours, KeepDays time.Duration
	// Log receives the notices of an open store; nil discards them.
	Log *slog.Logger
	// Intact makes Open fail with fs.ErrNotExist or ErrDamaged, and change nothing,
	// where it would otherwise begin a ledger or continue from the backup.
	Intact bool

	// Tests replace these.
	boot        string // which boot of which machine
	keepFormers time.Duration
	vfs         string
	rename      func(from, to string) error
}

// forEver is longer than any ledger lasts.
const forEver = 100 * 366 * 24 * time.Hour

// AgentHolder is the holder of an agent.
const AgentHolder = "run"

// Notice is something that the operator should know about a ledger that could be
// opened or read nevertheless.
type Notice struct {
	Text string
	Lost bool // totals are lost: they begin at 0
}

// Store is the ledger's database. It implements [accounting.Store] and is safe
// for concurrent use.
type Store struct {
	directory string
	path      string
	options   Options
	calendar  usage.Calendar

	mutex    sync.Mutex
	lock     *lock     // nil while the directory can't be locked
	db       *database // nil while the database can't be opened
	attached bool      // the database has been opened at least once
	closed   bool
	accounts *accounts // as they were last saved
	saves    int64     // number of saves so far
	// uncertain is set when a save fails: the contents of the database are read
	// again before the next one.
	uncertain   bool
	gapOpen     bool       // the next save ends a gap
	calendarSet bool       // the database has the current calendar
	clock       clock      // at the last save
	next        clock      // in the save that is being written
	opened      *instant   // when the store was opened; nil after the first save
	moves       []movement // by the save that is being written
	clients     clients
	starts      map[start]bool      // periods that the database has
	oldest      map[int64]time.Time // of hours and days: no pruning before this time
	notices     []Notice            // not yet returned or logged

	backup backup
}

var _ accounting.Store = (*Store)(nil)

// Open locks the directory, which it creates if it does not exist, and returns
// the state of the last save. A new ledger is empty.
//
// Open fails with a *LockedError if another process holds the directory, with a
// *NewerError if a later version wrote the database, and if it can't find out
// what is in the directory. It does not fail if the disk is full or read-only or
// the directory can't be created: notices report that, and each Save tries again.
// Nor does it fail if the database is damaged; see the package comment. A notice
// with Lost set reports that there was no usable backup.
func Open(directory string, options Options) (*Store, accounting.State, []Notice, error) {
	return openBy(acquire, directory, options)
}

// OpenWhenFree is like [Open], but waits for a process that holds the directory. When
// ctx ends, it fails with the *LockedError.
func OpenWhenFree(ctx context.Context, directory string, options Options) (*Store, accounting.State, []Notice, error) {
	return openBy(func(directory, holder string) (*lock, error) {
		return acquireUntil(ctx, directory, holder)
	}, directory, options)
}

func openBy(take locker, directory string, options Options) (*Store, accounting.State, []Notice, error) {
	if options.MonthDay < 0 || options.MonthDay > 28 {
		return nil, accounting.State{}, nil, fmt.Errorf("month day %d: want 1 to 28, since not every month has more days", options.MonthDay)
	}
	options.setClocks()
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.rename == nil {
		options.rename = os.Rename
	}
	options.keepFormers = cmp.Or(options.keepFormers, defaultKeepFormers)
	options.KeepHours, options.KeepDays = cmp.Or(options.KeepHours, forEver), cmp.Or(options.KeepDays, forEver)
	s := &Store{directory: directory, path: filepath.Join(directory, databaseName), options: options, accounts: new(accounts)}
	opened := s.instant()
	s.opened = &opened
	if err := retrying(func() error { return s.guard(func() error { return s.begin(take) }) }); err != nil {
		s.release()
		return nil, accounting.State{}, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	notices := s.notices
	s.notices = nil
	return s, s.accounts.state(), notices, nil
}

// begin opens the ledger, or only reads it if it can't be written yet.
func (s *Store) begin(take locker) error {
	if s.options.Intact {
		if _, err := os.Stat(s.path); err != nil {
			return err // without the files that opening it would create
		}
	}
	err := s.holdBy(take)
	if err == nil {
		err = s.attach()
	}
	if err == nil || s.options.Intact || needsOperator(err) {
		return err
	}
	s.note(false, "the ledger can't be saved yet: %v", err)
	state, saves, notices, err := read(s.directory, s.options.vfs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.notices = append(s.notices, notices...)
	s.saves = saves
	for _, account := range state.Accounts {
		s.accounts.set(account)
	}
	return nil
}

// needsOperator reports whether trying again can't help: the operator has to stop
// another process or install another version.
func needsOperator(err error) bool {
	return errors.As(err, new(*LockedError)) || errors.As(err, new(*NewerError))
}

func (s *Store) note(lost bool, format string, arguments ...any) {
	s.notices = append(s.notices, Notice{Text: fmt.Sprintf(format, arguments...), Lost: lost})
}

// logNotices logs what happened since Open returned.
func (s *Store) logNotices() {
	for _, notice := range s.notices {
		s.options.Log.Warn(notice.Text)
	}
	s.notices = nil
}

// Save writes the accounts and their usage in one transaction, which is durable
// when Save returns nil. If nothing has changed, nothing is written. After an
// error the disk has the state of an earlier save or of this one. The caller then
// passes the same accounts again, together with those that have changed since.
// Errors wrap those of the operating system, such as syscall.ENOSPC.
func (s *Store) Save(changed accounting.State) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return fmt.Errorf("saving the ledger: %w", fs.ErrClosed)
	}
	defer s.logNotices()
	err := s.write(changed)
	if errors.Is(err, ErrDamaged) {
		s.condemn(err)
		err = s.write(changed)
	}
	if err != nil {
		return fmt.Errorf("saving the ledger: %w", err)
	}
	return nil
}

// write saves in the database as it is now. A fault leaves its connection in an
// unknown state, so that another one is opened.
func (s *Store) write(changed accounting.State) error {
	return retrying(func() error {
		return s.guard(func() error { return s.writeOnce(changed) })
	})
}

func (s *Store) writeOnce(changed accounting.State) error {
	if err := s.resume(); err != nil {
		return err
	}
	saves := s.saves
	if err := s.save(changed); err != nil {
		s.uncertain = true
		return explain(s.path, err)
	}
	if s.saves == saves {
		s.startBackup()
		return nil
	}
	if s.db.look(theLog) != intact {
		return s.resume() // and saves again what is in memory
	}
	if err := s.checkpoint(); errors.Is(err, ErrDamaged) {
		return err // the save is durable; it is repeated in another database
	}
	s.startBackup()
	return nil
}

// resume opens the database if Open could not, or if somebody has removed,
// replaced or changed it.
func (s *Store) resume() error {
	lost := false
	if s.db != nil {
		var err error
		if lost, err = s.inspect(); err != nil || s.db != nil {
			return err
		}
	}
	known, saves, attached := s.accounts, s.saves, s.attached
	err := s.attach()
	if err == nil && !attached && s.saves != saves {
		err = fmt.Errorf("%s has changed since it was read: got %d saves, want %d: restart ssmonitor", s.path, s.saves, saves)
	}
	if err == nil && lost {
		err = s.missLog(known)
	}
	if err == nil {
		err = s.replay(known)
	}
	if err != nil {
		s.detach()
		s.accounts, s.saves, s.attached = known, saves, attached
	}
	return err
}

// replay saves the accounts that are newer in memory than in the database, which
// is a copy of the backup or a new one.
func (s *Store) replay(known *accounts) error {
	newer := s.newer(known)
	if len(newer.Accounts) == 0 && len(newer.Formers) == 0 {
		return nil
	}
	return explain(s.path, s.save(newer))
}

// newer returns what is newer in memory than in the database. An account is older
// there if its last save was durable although it failed.
func (s *Store) newer(known *accounts) accounting.State {
	newer := known.state()
	newer.Accounts = slices.DeleteFunc(newer.Accounts, func(account accounting.Account) bool {
		saved := s.accounts.get(account.Key)
		return account == saved || account.Total.Packets < saved.Total.Packets || account.Total.Bytes < saved.Total.Bytes
	})
	if slices.Equal(newer.Formers, s.accounts.state().Formers) {
		newer.Formers = nil
	}
	return newer
}

// checkpoint moves a long log into the database. The caller may ignore a failure
// other than damage: the log grows, and saves fail only when it can't grow further.
func (s *Store) checkpoint() error {
	log, err := os.Stat(s.path + "-wal")
	if err != nil || log.Size() < checkpointAfter*4096 {
		return nil
	}
	_, _, err = s.db.WALCheckpoint("main", checkpointMode)
	s.db.look(theDatabase)
	return explain(s.path, err)
}

// Close makes a backup and unlocks the directory. Everything that was saved is
// durable even if Close fails.
func (s *Store) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.stopBackup()
	defer s.logNotices()
	settle := func() error { return retrying(func() error { return s.guard(s.settle) }) }
	err := settle()
	if errors.Is(err, ErrDamaged) {
		s.condemn(err)
		err = settle()
	}
	s.release()
	if err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// settle makes sure that both the database and the backup contain the last save.
func (s *Store) settle() error {
	if !s.attached {
		return nil // nothing was ever saved
	}
	if err := s.resume(); err != nil {
		return err
	}
	// SQLite may know pages by its memory or by the log that a damaged file lacks,
	// such as those of tables without rows, which nothing else reads.
	_, _, _ = s.db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE) // it fails beside a reader
	s.db.mark, _ = s.db.read()
	if err := explain(s.path, errors.Join(s.db.Exec("pragma shrink_memory"), s.db.quickCheck())); err != nil {
		return err
	}
	if _, size := s.backupFile(); s.backup.saves == s.saves && size >= max(s.backup.size, 1) {
		return nil
	}
	_, err := s.makeBackup(context.Background())
	return err
}

// Identity returns what identifies the directory, whatever path leads to it. It is
// empty while the directory can't be locked.
func (s *Store) Identity() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.lock == nil {
		return ""
	}
	return identity(s.lock.file)
}

// release closes the database and unlocks the directory.
func (s *Store) release() {
	s.detach()
	if s.lock != nil {
		s.lock.release()
		s.lock = nil
	}
}
