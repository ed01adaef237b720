package sqlitefile

import (
	"errors"
	"os"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// vfsName is the name under which SQLite knows our file system.
const vfsName = "ssmonitor"

func init() { vfs.Register(vfsName, fileSystem{vfs.Find("")}) }

// errSuperJournal refuses a rollback journal that names another file. SQLite would
// read that file, whatever it is, and remove it. Only a transaction across several
// databases writes such a journal.
var errSuperJournal = errors.New("the journal belongs to several databases")

// fileSystem is SQLite's file system for databases in the directories of others: it
// opens regular files only, and never waits. Files are not mapped into memory, except
// for the index of a log. Temporary files are those of the library.
type fileSystem struct{ vfs.VFS }

// OpenFilename opens a database, its log or its journal. It opens a log read-only if
// it may not be written.
func (s fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	path := name.String()
	if path == "" {
		return s.Open(path, flags)
	}
	if flags&vfs.OPEN_SUPER_JOURNAL != 0 {
		return nil, flags, vfs.SystemError(errSuperJournal, sqlite3.CANTOPEN)
	}
	handle, err := OpenRegular(path, modeOf(flags))
	if err != nil && flags&vfs.OPEN_WAL != 0 && flags&vfs.OPEN_READWRITE != 0 {
		reading := flags&^(vfs.OPEN_READWRITE|vfs.OPEN_CREATE) | vfs.OPEN_READONLY
		if readable, readErr := OpenRegular(path, modeOf(reading)); readErr == nil {
			handle, err, flags = readable, nil, reading
		}
	}
	if err != nil {
		return nil, flags, vfs.SystemError(err, sqlite3.CANTOPEN)
	}
	return newFile(handle, flags), flags, nil
}

func modeOf(flags vfs.OpenFlag) (mode int) {
	if flags&vfs.OPEN_READWRITE != 0 {
		mode |= os.O_RDWR
	}
	if flags&vfs.OPEN_CREATE != 0 {
		mode |= os.O_CREATE
	}
	if flags&vfs.OPEN_EXCLUSIVE != 0 {
		mode |= os.O_EXCL
	}
	return mode
}
