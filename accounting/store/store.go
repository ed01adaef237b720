package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ssmonitor/accounting"
)

// Options say who opens a store.
type Options struct {
	// Holder is the subcommand that opens it, one word such as "run", for the
	// message that a second one gets.
	Holder string
	// Now is the clock, for the names of files that are set aside. Nil stands
	// for time.Now.
	Now func() time.Time
}

// Notice is what the operator should know about a ledger that could be opened
// or read nevertheless.
type Notice struct {
	Text string
	// Lost says that totals are lost: they begin anew.
	Lost bool
}

// Store is the ledger's place in a state directory. It implements
// [accounting.Store]. Its methods may be called at the same time.
type Store struct {
	directory string
	holder    string
	now       func() time.Time

	mutex    sync.Mutex
	lock     *lock // nil until the directory could be locked
	files    [2]file
	turn     int    // index of the file that the next save goes to
	sequence uint64 // of the last save that was tried
	fresh    bool   // there was nothing to begin from, and nothing has been saved
	closed   bool
	in, out  accounting.Count // that were saved last

	// Buffers, kept from save to save.
	sorted []accounting.Account
	merged []accounting.Account
}

var _ accounting.Store = (*Store)(nil)

// file is one of the two files.
type file struct {
	path string
	// whole says that the file was verified and that no save has failed on it
	// since. Any other is replaced at its turn.
	whole    bool
	sequence uint64    // of the last save that the file must hold to be of use
	database *database // nil until its first turn
	// behind is what the file lacks of what was saved, sorted by key.
	behind []accounting.Account
}

// Open takes the directory, which it makes where it is missing, and returns
// the state that was saved last; a new ledger begins empty. It fails with
// a *LockedError where another process holds the directory, with a *NewerError
// where a later version wrote a file, and where it can't find out what the
// directory holds. It does not fail on a disk that is full or read-only, nor
// on a directory that can't be made: notices say so, and each Save tries
// again. Nor does it fail on damaged files, as the package's comment says; a
// notice with Lost set says that none was left to begin from.
func Open(directory string, options Options) (*Store, accounting.State, []Notice, error) {
	s := &Store{directory: directory, holder: options.Holder, now: options.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var notices []Notice
	if err := s.hold(); err != nil {
		if _, locked := errors.AsType[*LockedError](err); locked {
			return nil, accounting.State{}, nil, err
		}
		notices = append(notices, Notice{Text: fmt.Sprintf("the ledger can't be saved yet: %v", err)})
	}
	found, err := inspect(directory)
	if err != nil {
		s.releaseLock()
		return nil, accounting.State{}, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	notices = append(notices, s.setDamagedAside(found)...)
	return s, s.begin(found), notices, nil
}

// hold takes the lock, once.
func (s *Store) hold() error {
	if s.lock != nil {
		return nil
	}
	if err := makeDirectory(s.directory); err != nil {
		return err
	}
	lock, err := acquire(s.directory, s.holder)
	if err != nil {
		return err
	}
	s.lock = lock
	return nil
}

func (s *Store) releaseLock() {
	if s.lock != nil {
		s.lock.release()
		s.lock = nil
	}
}

// begin takes what was found as the state to go on from and returns it.
func (s *Store) begin(found inspection) accounting.State {
	newest := found.newest()
	for i := range s.files {
		s.files[i].path = filepath.Join(s.directory, fileNames[i])
		// What an older file lacks is not known. So it is replaced at its turn,
		// and never copied from: it does not hold the save that is asked for.
		s.files[i].whole = found[i].err == nil && found[i].header.sequence == found.sequence()
		s.files[i].sequence = found.sequence()
	}
	if newest < 0 {
		s.fresh = true
		return accounting.State{}
	}
	s.turn, s.sequence = 1-newest, found.sequence()
	state := found[newest].state
	s.in, s.out = state.In, state.Out
	return state
}

// Save writes the accounts and the totals in one transaction, durable when it
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
	if !s.fresh && len(changed.Accounts) == 0 && changed.In == s.in && changed.Out == s.out {
		return nil
	}
	if err := s.resume(); err != nil {
		return fmt.Errorf("saving the ledger: %w", err)
	}
	s.sorted = append(s.sorted[:0], changed.Accounts...)
	slices.SortStableFunc(s.sorted, func(a, b accounting.Account) int { return a.Key.Compare(b.Key) })
	changed.Accounts = s.sorted

	target, other := &s.files[s.turn], &s.files[1-s.turn]
	// The turn passes on after an error too: one bad file must not keep the
	// ledger from being saved.
	s.turn = 1 - s.turn
	s.sequence++ // also of a save that fails: it may be in the file all the same
	if err := s.saveTo(target, other, changed); err != nil {
		return fmt.Errorf("saving the ledger: %w", err)
	}
	s.fresh = false
	s.in, s.out = changed.In, changed.Out
	target.whole, target.sequence, target.behind = true, s.sequence, target.behind[:0]
	s.merged = merge(s.merged[:0], other.behind, changed.Accounts)
	other.behind, s.merged = s.merged, other.behind
	return nil
}

// resume takes the lock where Open could not, provided that the ledger is
// still the one that Open read.
func (s *Store) resume() error {
	if s.lock != nil {
		return nil
	}
	if err := s.hold(); err != nil {
		return err
	}
	found, err := inspect(s.directory)
	if err == nil && found.sequence() != s.sequence {
		err = fmt.Errorf("the ledger in %s has changed since it was read (save %d, expected %d): start again",
			s.directory, found.sequence(), s.sequence)
	}
	if err != nil {
		s.releaseLock()
	}
	return err
}

func (s *Store) saveTo(target, other *file, changed accounting.State) error {
	if !target.whole {
		return s.replace(target, other, changed)
	}
	if target.database == nil {
		opened, err := openDatabase(target.path)
		if err != nil {
			target.whole = false
			return err
		}
		target.database = opened
	}
	if err := s.commit(target.database, target.behind, changed); err != nil {
		target.distrust(err)
		return fmt.Errorf("%s: %w", target.path, err)
	}
	return nil
}

// distrust ends the use of a file until it has been replaced.
func (f *file) distrust(cause error) {
	if f.database != nil {
		f.database.abandon(cause)
	}
	f.database, f.whole = nil, false
}

// commit saves what has changed and what the database lacked before.
func (s *Store) commit(database *database, lacking []accounting.Account, changed accounting.State) error {
	s.merged = merge(s.merged[:0], lacking, changed.Accounts)
	changed.Accounts = s.merged
	return database.commit(s.sequence, changed)
}

// replace makes the file anew from the other one and this save, and puts it in
// place when it is durable.
func (s *Store) replace(target, other *file, changed accounting.State) error {
	path := target.path + newSuffix
	lacking, err := s.seed(path, target, other)
	if err != nil {
		return err
	}
	opened, err := openDatabase(path)
	if err != nil {
		_ = os.Remove(path)
		return err
	}
	if err = s.commit(opened, lacking, changed); err == nil {
		err = s.putInPlace(path, target.path)
	}
	if err != nil {
		opened.abandon(err)
		_ = os.Remove(path)
		return fmt.Errorf("%s: %w", path, err)
	}
	target.database = opened
	return nil
}

// seed makes a file at path that holds what one of the two files holds, the
// other one if that is good, and returns what that one lacks. Of a fresh
// ledger it is empty.
func (s *Store) seed(path string, target, other *file) ([]accounting.Account, error) {
	if s.fresh {
		created, err := createNew(path)
		if err != nil {
			return nil, err
		}
		return nil, created.Close()
	}
	err := copyVerified(path, other)
	if err == nil {
		return other.behind, nil
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	other.distrust(err)
	if second := copyVerified(path, target); second != nil {
		return nil, fmt.Errorf("%w; %w", err, second)
	}
	return target.behind, nil
}

// createNew makes an empty file where a broken off save may have left one.
func createNew(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return createFile(path)
}

func copyVerified(path string, source *file) error {
	original, err := openRegular(source.path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = original.Close() }()
	duplicate, err := createNew(path)
	if err != nil {
		return err
	}
	defer func() { _ = duplicate.Close() }()
	if err = copyTree(duplicate, original); err == nil {
		err = checkCopy(duplicate, source)
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

func checkCopy(duplicate *os.File, source *file) error {
	found, err := verify(duplicate)
	if err != nil {
		return fmt.Errorf("copying %s: %w", source.path, err)
	}
	if found.header.sequence < source.sequence {
		return fmt.Errorf("%s: %w", source.path, damaged("it holds save %d, expected %d or later", found.header.sequence, source.sequence))
	}
	return nil
}

// putInPlace renames the new file over the old one, which is set aside where
// it is damaged.
func (s *Store) putInPlace(path, place string) error {
	if _, err := inspectFile(place); errors.Is(err, ErrDamaged) {
		if _, err := setAside(place, s.now()); err != nil {
			return err
		}
	}
	if err := os.Rename(path, place); err != nil {
		return err
	}
	return syncDirectory(s.directory)
}

// merge appends the accounts of both sorted lists to merged in the order of
// keys. Of one key the newer list's last account counts.
func merge(merged, older, newer []accounting.Account) []accounting.Account {
	for len(older) > 0 || len(newer) > 0 {
		from := &newer
		if len(newer) == 0 || (len(older) > 0 && older[0].Key.Compare(newer[0].Key) <= 0) {
			from = &older
		}
		account := (*from)[0]
		*from = (*from)[1:]
		if last := len(merged) - 1; last >= 0 && merged[last].Key == account.Key {
			merged[last] = account
		} else {
			merged = append(merged, account)
		}
	}
	return merged
}

// Close levels the two files, so that the next Open finds both up to date, and
// lets go of the directory. All that was saved is safe whatever it returns.
func (s *Store) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.level()
	for i := range s.files {
		if database := s.files[i].database; database != nil {
			if failure := database.close(); err == nil {
				err = failure
			}
		}
	}
	s.releaseLock()
	if err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// level writes what the file whose turn it is lacks, under the number of the
// last save. The next Open then need not copy the other one.
func (s *Store) level() error {
	target, other := &s.files[s.turn], &s.files[1-s.turn]
	if !target.whole || !other.whole || target.sequence == s.sequence {
		return nil
	}
	return s.saveTo(target, other, accounting.State{In: s.in, Out: s.out})
}
