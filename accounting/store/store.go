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

	"ssmonitor/accounting"
)

// Options say who opens a store, and what it keeps.
type Options struct {
	// Holder is the subcommand that opens it, one word such as "run", for the
	// message that a second one gets.
	Holder string
	// Now is the clock. Nil stands for time.Now.
	Now func() time.Time
	// Zone is where hours, days and months begin. Nil stands for the one of
	// the save before, which for a new ledger is time.Local.
	Zone *time.Location
	// MonthDay is the day on which a month begins, 1 to 28. 0 stands for the
	// one of the save before, which for a new ledger is 1.
	MonthDay int
	// KeepHours and KeepDays are for how long usage by hour and by day is kept.
	// 0 stands for 90 days and 2 years. Usage by month is kept for ever.
	KeepHours, KeepDays time.Duration
	// Log gets what happens while the store is open. Nil: nothing is logged.
	Log *slog.Logger

	vfs    string // of a test
	rename func(from, to string) error
}

// For how long usage is kept if nothing else is said.
const (
	defaultKeepHours = 90 * 24 * time.Hour
	defaultKeepDays  = 2 * 366 * 24 * time.Hour
)

// Notice is what the operator should know about a ledger that could be opened
// or read nevertheless.
type Notice struct {
	Text string
	// Lost says that totals are lost: they begin anew.
	Lost bool
}

// Store is the ledger's database. It implements [accounting.Store]. Its methods
// may be called at the same time.
type Store struct {
	directory string
	path      string
	options   Options
	calendar  accounting.Calendar

	mutex    sync.Mutex
	lock     *lock     // nil until the directory could be locked
	db       *database // nil until it could be opened
	attached bool      // it could be opened once
	closed   bool
	accounts map[accounting.Key]accounting.Account // that were saved last
	saves    int64                                 // how many there were
	// uncertain says that a save failed: what the database holds is read again
	// before the next one.
	uncertain   bool
	gapOpen     bool // the next save ends a gap
	calendarSet bool // the database holds the calendar
	clients     clients
	starts      map[start]bool      // periods that the database has
	oldest      map[int64]time.Time // of hours and days: until when there is nothing to prune
	notices     []Notice            // that nobody was told yet

	backup backup
}

var _ accounting.Store = (*Store)(nil)

// Open takes the directory, which it makes where it is missing, and returns
// the state that was saved last; a new ledger begins empty. It fails with
// a *LockedError where another process holds the directory, with a *NewerError
// where a later version wrote the database, and where it can't find out what
// the directory holds. It does not fail on a disk that is full or read-only,
// nor on a directory that can't be made: notices say so, and each Save tries
// again. Nor does it fail on a damaged database, as the package's comment says;
// a notice with Lost set says that no backup was left to begin from.
func Open(directory string, options Options) (*Store, accounting.State, []Notice, error) {
	if options.MonthDay < 0 || options.MonthDay > 28 {
		return nil, accounting.State{}, nil, fmt.Errorf("months that begin on day %d: want a day from 1 to 28, which every month has", options.MonthDay)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.rename == nil {
		options.rename = os.Rename
	}
	options.KeepHours = cmp.Or(options.KeepHours, defaultKeepHours)
	options.KeepDays = cmp.Or(options.KeepDays, defaultKeepDays)
	s := &Store{directory: directory, path: filepath.Join(directory, databaseName), options: options}
	if err := s.begin(); err != nil {
		s.release()
		return nil, accounting.State{}, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	notices := s.notices
	s.notices = nil
	return s, stateOf(s.accounts), notices, nil
}

// begin reads what there is, to write if possible.
func (s *Store) begin() error {
	err := s.attach()
	if err == nil || refusal(err) {
		return err
	}
	s.note(false, "the ledger can't be saved yet: %v", err)
	state, saves, notices, err := read(s.directory, s.options.vfs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.notices = append(s.notices, notices...)
	s.accounts, s.saves = make(map[accounting.Key]accounting.Account, len(state.Accounts)), saves
	for _, account := range state.Accounts {
		s.accounts[account.Key] = account
	}
	return nil
}

// refusal reports an error that nothing but a person can change.
func refusal(err error) bool {
	return errors.As(err, new(*LockedError)) || errors.As(err, new(*NewerError))
}

func (s *Store) note(lost bool, format string, arguments ...any) {
	s.notices = append(s.notices, Notice{Text: fmt.Sprintf(format, arguments...), Lost: lost})
}

// tell logs the notices of what happened after Open.
func (s *Store) tell() {
	for _, notice := range s.notices {
		s.options.Log.Warn(notice.Text)
	}
	s.notices = nil
}

// hold takes the lock, again where somebody removed the file.
func (s *Store) hold() error {
	if s.lock != nil && isAt(s.lock.file, s.lock.file.Name()) {
		return nil
	}
	if err := makeDirectory(s.directory); err != nil {
		return err
	}
	lock, err := acquire(s.directory, s.options.Holder)
	if err != nil {
		return err
	}
	if s.lock != nil {
		s.lock.release()
	}
	s.lock = lock
	return nil
}

// attach locks the directory and opens the database: what is there, else the
// backup, else a new one. It reads all but the usage.
func (s *Store) attach() error {
	if err := s.hold(); err != nil {
		return err
	}
	if err := removeUnfinished(s.directory); err != nil {
		return err
	}
	err := s.load()
	if err == nil && s.behindBackup() {
		s.detach()
		err = fmt.Errorf("%s is %w", s.path, damaged("it holds fewer saves than its backup"))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDamaged):
		reason := err
		aside, err := setAside(s.path, s.options.Now())
		if err != nil {
			return err
		}
		s.note(false, "%v; it is kept as %s", reason, aside)
		s.dropOldest()
		return s.restore(true)
	case errors.Is(err, fs.ErrNotExist):
		return s.restore(false)
	}
	return err
}

// behindBackup reports whether the backup is newer than the database, whose log
// must have been damaged then.
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

// Save writes the accounts and their usage in one transaction, durable when it
// returns nil. After an error the state on disk is the one of an earlier save,
// or this one; the next Save, with the same accounts and those that changed
// since, needs nothing else to succeed once the reason is gone. Errors wrap
// those of the operating system, such as syscall.ENOSPC. Where nothing has
// changed nothing is written.
func (s *Store) Save(changed accounting.State) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return fmt.Errorf("saving the ledger: %w", fs.ErrClosed)
	}
	defer s.tell()
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

func (s *Store) write(changed accounting.State) error {
	if err := s.resume(); err != nil {
		return err
	}
	if err := s.save(changed); err != nil {
		s.uncertain = true
		return explain(s.path, err)
	}
	if err := s.checkpoint(); errors.Is(err, ErrDamaged) {
		return err // the save is durable; it is repeated in another database
	}
	s.startBackup()
	return nil
}

// resume opens the database where Open could not, and where somebody has
// removed or replaced it.
func (s *Store) resume() error {
	if s.db != nil && s.db.moved() {
		s.note(false, "%s was removed or replaced by somebody else: it is written anew", s.path)
		if err := s.rescue(); err != nil {
			return err
		}
		s.detach()
	}
	if s.db != nil {
		return nil
	}
	known, saves, attached := s.accounts, s.saves, s.attached
	err := s.attach()
	if err == nil && !attached && s.saves != saves {
		err = fmt.Errorf("%s has changed since it was read: it holds %d saves, expected %d: start again", s.path, s.saves, saves)
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

// replay brings a database up to date that is older than what the store knows:
// a backup, or a new one.
func (s *Store) replay(known map[accounting.Key]accounting.Account) error {
	var newer accounting.State
	for key, account := range known {
		if account != s.accounts[key] {
			newer.Accounts = append(newer.Accounts, account)
		}
	}
	if len(newer.Accounts) == 0 {
		return nil
	}
	return explain(s.path, s.save(newer))
}

// checkpoint moves the log into the database when it has become long. What
// keeps it from that shows when the log can't grow any more.
func (s *Store) checkpoint() error {
	size, err := os.Stat(s.path + "-wal")
	if err != nil || size.Size() < checkpointAfter*4096 {
		return nil
	}
	_, _, err = s.db.WALCheckpoint("main", checkpointMode)
	return explain(s.path, err)
}

// Close makes the backup and lets go of the directory. All that was saved is
// safe whatever it returns.
func (s *Store) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.stopBackup()
	defer s.tell()
	err := s.settle()
	if errors.Is(err, ErrDamaged) {
		s.condemn(err)
		err = s.settle()
	}
	s.release()
	if err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// settle sees that the last save is in the database and in the backup.
func (s *Store) settle() error {
	if !s.attached {
		return nil // nothing was ever saved
	}
	if err := s.resume(); err != nil {
		return err
	}
	if s.backup.saves == s.saves {
		return nil
	}
	_, err := s.makeBackup(context.Background())
	return err
}

// release lets go of what the store holds.
func (s *Store) release() {
	s.detach()
	if s.lock != nil {
		s.lock.release()
		s.lock = nil
	}
}
