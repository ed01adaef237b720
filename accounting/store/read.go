package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// openToRead opens a database, which an agent may have open, for a process that
// may be unable to write to the directory.
func openToRead(path, vfs string) (*database, error) {
	names := siblings(path)
	log, logErr := os.Stat(names[logFile])
	empty := errors.Is(logErr, fs.ErrNotExist) || (logErr == nil && log.Size() == 0)
	if _, err := os.Stat(names[indexFile]); errors.Is(err, fs.ErrNotExist) {
		if empty {
			return openImmutable(path, vfs) // nobody has it open
		}
		// SQLite would create the index with root's group.
		if index, err := createFile(names[indexFile]); err == nil {
			_ = index.Close()
		}
	}
	db, err := connect(path, vfs, readOnly())
	if err != nil && empty && (errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.READONLY)) {
		return openImmutable(path, vfs)
	}
	return db, err
}

// openImmutable opens a database that nobody writes to, which needs no other
// file.
func openImmutable(path, vfs string) (*database, error) {
	parameters := readOnly()
	parameters.Set("immutable", "1")
	return connect(path, vfs, parameters)
}

// view calls read with the database in the state of one save.
func view(path, vfs string, open func(path, vfs string) (*database, error), read func(*database) error) error {
	return explain(path, againAfterFault(func() error {
		db, err := open(path, vfs)
		if err != nil {
			return err
		}
		defer db.close()
		return db.Guard(func() error {
			if err := db.Exec("begin"); err != nil {
				return err
			}
			return read(db)
		})
	}))
}

// read returns the accounts of the last save. If the database is damaged or missing,
// it returns those of the backup and a notice. It fails with fs.ErrNotExist if nothing
// has been saved, with ErrDamaged if no copy is usable, and with a *NewerError.
func read(directory, vfs string) (found contents, notices []Notice, err error) {
	err = view(filepath.Join(directory, databaseName), vfs, openToRead, found.readAccounts)
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
		return found, nil, err
	}
	backupErr := view(filepath.Join(directory, backupName), vfs, openImmutable, found.readAccounts)
	switch {
	case backupErr == nil:
		return found, []Notice{{Text: fmt.Sprintf("%v; the backup is used", err)}}, nil
	case errors.Is(backupErr, fs.ErrNotExist):
		return contents{}, nil, err
	}
	return contents{}, nil, fmt.Errorf("%w; %w", err, backupErr)
}
