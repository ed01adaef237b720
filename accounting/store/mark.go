package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/internal/sqlitefile"
)

// mark is how the files of an open database were when the store last looked.
// Others may change them in place, which SQLite does not notice: it keeps pages
// and the log's index in memory.
type mark struct {
	sizes  [3]int64            // of the database, its log and the log's index
	times  [2]syscall.Timespec // of the last writes to the database and its log
	header [100]byte           // of the database, which only a checkpoint changes
	log    [32]byte            // the header of the log
}

// fileState is what others have done to the files of an open database.
type fileState byte

const (
	intact       fileState = iota
	moved                  // a file was removed or replaced
	indexCut               // the log's index was truncated
	logLost                // the log was truncated or overwritten
	rewritten              // the database's header was changed
	touched                // the database was written to, but not its header
	databaseLost           // the database was truncated or overwritten
)

// writes is what the store itself may have written to since it last looked.
type writes byte

const (
	nothing writes = iota
	theLog
	theDatabase // and its log
)

// renewMark compares the files with the mark, and sets the mark if they are intact but for
// the store's own writes.
func (db *database) renewMark(own writes) fileState {
	now, err := db.readMark()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return moved
	case err != nil: // as long as nobody can look, the open files are what there is
		return intact
	}
	was := &db.mark
	switch {
	case now.sizes[databaseFile] < was.sizes[databaseFile], !bytes.HasPrefix(now.header[:], []byte("SQLite format 3\x00")):
		return databaseLost
	case now.sizes[logFile] == 0 && was.sizes[logFile] == 0: // nothing was written to it yet
	case now.log == was.log && now.sizes[logFile] < was.sizes[logFile], !validLog(now.log):
		return logLost
	case own == nothing && now.times[logFile] != was.times[logFile] && !db.wholeLog():
		return logLost
	}
	if now.sizes[indexFile] < was.sizes[indexFile] {
		return indexCut
	}
	if own != theDatabase && now.header != was.header {
		return rewritten
	}
	if own != theDatabase && now.times[databaseFile] != was.times[databaseFile] {
		return touched
	}
	db.mark = now
	return intact
}

// readMark reads what a mark consists of. It fails with fs.ErrNotExist if a file was
// removed or replaced since the database was opened.
func (db *database) readMark() (now mark, err error) {
	for i, name := range db.names {
		var there syscall.Stat_t // os.Lstat allocates, and each save looks
		if err := syscall.Lstat(name, &there); err != nil {
			return now, err
		}
		if there.Ino != db.files[i].Ino || there.Dev != db.files[i].Dev {
			return now, fs.ErrNotExist
		}
		now.sizes[i] = there.Size
		if i < len(now.times) {
			now.times[i] = there.Mtim
		}
	}
	// What can't be read is zero, which is not intact.
	_, _ = db.handles[databaseFile].ReadAt(now.header[:], 0)
	_, _ = db.handles[logFile].ReadAt(now.log[:], 0)
	return now, nil
}

// openMarked opens the files to look at and sets the first mark.
func (db *database) openMarked() (err error) {
	db.names = [3]string(siblings(db.path))
	for i, name := range db.names {
		if err := syscall.Lstat(name, &db.files[i]); err != nil {
			return err
		}
		if i < len(db.handles) {
			if db.handles[i], err = sqlitefile.OpenRegular(name, os.O_RDONLY); err != nil {
				return err
			}
		}
	}
	db.mark, _ = db.readMark()
	return nil
}

// renewIndex empties the index and gives it its size again, so that its pages exist
// and closing the database reads nothing else from them.
func (db *database) renewIndex() error {
	index, err := sqlitefile.OpenRegular(db.names[indexFile], os.O_RDWR) // os.Truncate would follow a link
	if err != nil {
		return err
	}
	if err = index.Truncate(0); err == nil {
		err = index.Truncate(db.mark.sizes[indexFile])
	}
	return errors.Join(err, index.Close())
}

// inspect looks for what others have done to the files since the last save. If the database
// is not sound, it has to be opened again, and missing reports that what the log contained
// may be lost.
func (s *Store) inspect() (sound, missing bool, err error) {
	state := s.db.renewMark(nothing)
	if (state == rewritten || state == touched) && s.agrees() { // another program has moved the log into the database
		s.db.renewMark(theDatabase)
		return true, false, nil
	}
	found, names := "", siblings(s.path)
	switch state {
	case intact:
		return true, false, nil
	case moved:
		found, err = " was removed or replaced by somebody else: it is written again", s.rescue()
	case indexCut:
		found, err = "-shm was truncated by somebody else: it is written again", s.drop(names[indexFile])
	case logLost:
		found, err = "-wal was truncated or overwritten by somebody else: what it contained is written again", s.drop(names[logFile], names[indexFile])
	case touched:
		// Without its index the log is applied from its beginning, which repairs pages
		// that another program moved without their checksums.
		found, err = " was written to by somebody else: what its log contains is written again", s.drop(names[indexFile])
	default:
		return false, false, explain(s.path, damaged("it was truncated or overwritten by somebody else"))
	}
	if err != nil { // tried again by the next save
		return false, false, fmt.Errorf("%s%s: %w", s.path, found, err)
	}
	s.note(false, "%s%s", s.path, found)
	return false, state == logLost || state == touched, nil
}

// agrees reports whether the files have the accounts that are in memory, and sound
// usage.
func (s *Store) agrees() bool {
	problems, err := Check(s.directory)
	if err != nil || len(problems) > 0 {
		return false
	}
	found, notices, err := read(s.directory, s.options.vfs)
	return err == nil && len(notices) == 0 && slices.Equal(found.accounts.list, s.saved.accounts.list)
}

// drop closes the database and removes its log, after which it is in the state of
// an earlier save, or only the log's index, which SQLite then writes again. Whoever
// has the old ones open does not disturb the new ones.
func (s *Store) drop(names ...string) error {
	s.abandonBackup()
	// The last connection would move the log into the database.
	if _, err := s.db.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		return err
	}
	if err := s.db.renewIndex(); err != nil {
		return err
	}
	s.closeDatabase()
	if err := removeFiles(names); err != nil {
		return err
	}
	return syncDirectory(s.directory)
}

// missLog begins a gap if the database is older than what was saved, after its log
// was lost.
func (s *Store) missLog(known accounts) error {
	if err := s.db.quickCheck(); err != nil {
		return explain(s.path, err)
	}
	if len(s.newer(known).Accounts) == 0 {
		return nil
	}
	return s.beginGap()
}
