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
	// Boot is the id of the boot, for a process that can't read it. Empty stands for
	// that of the kernel. It stays unknown if Now is set.
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
	// Progress is called while statements of the store run, by whoever has them run: those
	// about thousands of ports take seconds. Nil: nobody wants to know.
	Progress func()
	// Log receives the notices of an open store; nil discards them.
	Log *slog.Logger
	// Intact makes Open fail with fs.ErrNotExist or ErrDamaged, and change nothing,
	// where it would otherwise begin a ledger or continue from the backup.
	Intact bool

	// Tests replace these.
	uptime      func() time.Duration // since the boot, which shows when the clock was set; nil: the kernel's, or Now if that is not nil
	keepFormers time.Duration
	vfs         string
	rename      func(from, to string) error
}

// forEver is longer than any ledger lasts.
const forEver = 100 * 366 * 24 * time.Hour

// Who holds a ledger, by the name of the command.
const (
	AgentHolder    = "run"
	ClientHolder   = "client"
	TeardownHolder = "teardown"
)

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

	mutex  sync.Mutex
	closed bool
	lock   *lock     // nil while the directory can't be locked
	db     *database // nil while the database can't be opened

	saved contents
	// uncertain is set when a save fails: the contents of the database are read
	// again before the next one.
	uncertain bool
	calendar  usage.Calendar   // in force, which the next save writes if the database has another one
	wanted    accounting.Ports // as the sources name them
	resolved  bool             // wanted is known, as to an agent
	boot      string           // which boot of which machine; empty or a name of its own if its id is not known
	started   *instant         // when the store was opened; nil after the first save

	backup  backup
	notices []Notice // not yet returned or logged
}

var _ accounting.Store = (*Store)(nil)

// contents is what the store keeps in memory of the database, as of the last save. A save
// in progress changes clients, starts and oldest: if it fails, all is read again.
type contents struct {
	opened   bool // the database has been opened; before, only the accounts and the number of saves are known
	accounts accounts
	saves    int64 // number of saves so far
	gapOpen  bool  // the next save ends a gap
	calendar usage.Calendar
	clock    clock
	clients  clients
	starts   map[periodKey]bool  // periods that are known to be in the database
	oldest   map[int64]time.Time // of hours and days: no pruning before this time
}

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
	return openBy(directory, options, tryLock)
}

// LockPatience is how long the agent and a command wait for each other to let go of the
// directory: to change a client takes a moment, as the agent's start and end do.
const LockPatience = 5 * time.Second

// OpenWhenFree is like [Open], but waits for a process that holds the directory. When
// ctx ends, it fails with the *LockedError.
func OpenWhenFree(ctx context.Context, directory string, options Options) (*Store, accounting.State, []Notice, error) {
	return openBy(directory, options, func(file *os.File) error { return awaitLock(ctx, file) })
}

func openBy(directory string, options Options, take locker) (*Store, accounting.State, []Notice, error) {
	if options.MonthDay < 0 || options.MonthDay > 28 {
		return nil, accounting.State{}, nil, fmt.Errorf("month day %d: want 1 to 28, since not every month has more days", options.MonthDay)
	}
	options.setDefaults()
	s := &Store{directory: directory, path: filepath.Join(directory, databaseName), options: options, boot: options.Boot}
	started := s.instant()
	s.started = &started
	if err := s.againAfterFault(func() error { return s.openOrRead(take) }); err != nil {
		s.release()
		return nil, accounting.State{}, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	notices := s.notices
	s.notices = nil
	return s, s.saved.accounts.state(), notices, nil
}

// setDefaults sets the options that are empty, except those of the calendar.
func (o *Options) setDefaults() {
	o.setClocks()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func() {}
	}
	if o.rename == nil {
		o.rename = os.Rename
	}
	o.keepFormers = cmp.Or(o.keepFormers, defaultKeepFormers)
	o.KeepHours, o.KeepDays = cmp.Or(o.KeepHours, forEver), cmp.Or(o.KeepDays, forEver)
}

// openOrRead opens the ledger, or only reads it if it can't be written yet.
func (s *Store) openOrRead(take locker) error {
	if s.options.Intact {
		if _, err := os.Stat(s.path); err != nil {
			return err // without the files that opening it would create
		}
	}
	err := s.hold(take)
	if err == nil {
		err = s.openLedger()
	}
	if err == nil || s.options.Intact || needsOperator(err) {
		return err
	}
	s.note(false, "the ledger can't be saved yet: %v", err)
	found, notices, err := read(s.directory, s.options.vfs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	s.notices = append(s.notices, notices...)
	found.opened = s.saved.opened
	s.saved = found
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
	return s.apply("saving the ledger", func() error { return s.write(changed) })
}

// apply makes a change to the ledger, which is described for errors. If the database
// turns out to be damaged, the change is made in the one that replaces it.
func (s *Store) apply(what string, do func() error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return fmt.Errorf("%s: %w", what, fs.ErrClosed)
	}
	defer s.logNotices()
	err := s.use(do)
	if err == nil || refused(err) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// write saves in the database as it is now.
func (s *Store) write(changed accounting.State) error {
	if err := s.ensureOpen(); err != nil {
		return err
	}
	written, err := s.save(changed)
	if err != nil {
		return explain(s.path, err)
	}
	if written {
		if s.db.renewMark(theLog) != intact {
			return s.ensureOpen() // and saves again what is in memory
		}
		if err := s.checkpoint(); errors.Is(err, ErrDamaged) {
			return err // the save is durable; it is repeated in another database
		}
	}
	s.startBackup()
	return nil
}

// checkpoint moves a long log into the database. The caller may ignore a failure
// other than damage: the log grows, and saves fail only when it can't grow further.
func (s *Store) checkpoint() error {
	log, err := os.Stat(siblings(s.path)[logFile])
	if err != nil || log.Size() < checkpointAfter*4096 {
		return nil
	}
	_, _, err = s.db.WALCheckpoint("main", checkpointMode)
	s.db.renewMark(theDatabase)
	return explain(s.path, err)
}

// emptyLog moves the log into the database. It fails beside a reader.
func (db *database) emptyLog() {
	_, _, _ = db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	db.mark, _ = db.readMark()
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
	err := s.use(s.settle)
	s.release()
	if err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// settle makes sure that both the database and the backup contain the last save.
func (s *Store) settle() error {
	if !s.saved.opened {
		return nil // nothing was ever saved
	}
	if err := s.ensureOpen(); err != nil {
		return err
	}
	// SQLite may know pages by its memory or by the log that a damaged file lacks,
	// such as those of tables without rows, which nothing else reads.
	s.db.emptyLog()
	if err := explain(s.path, errors.Join(s.db.Exec("pragma shrink_memory"), s.db.quickCheck())); err != nil {
		return err
	}
	if _, size := s.backupFile(); s.backup.saves == s.saved.saves && size >= max(s.backup.size, 1) {
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
	return identity(s.lock.file.Stat())
}

// release closes the database and unlocks the directory.
func (s *Store) release() {
	s.closeDatabase()
	if s.lock != nil {
		s.lock.release()
		s.lock = nil
	}
}
