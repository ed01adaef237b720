package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular means that something other than a regular file is in place of a
// database, or of a file that belongs to it.
var ErrNotRegular = errors.New("not a regular file: move it away")

// With returns the names of the files that a database consists of: itself, its
// write-ahead log, the log's index and its rollback journal.
func With(path string) []string {
	return []string{path, path + "-wal", path + indexSuffix, path + "-journal"}
}

const indexSuffix = "-shm"

// OpenRegular opens a regular file, with the flags of os.OpenFile. It follows no
// link, and waits neither for the other end of a FIFO nor for the holder of a lease,
// because root may open files in the directory of a user with fewer rights.
func OpenRegular(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o600)
	switch {
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENXIO):
		return nil, irregular(path)
	case err != nil:
		return nil, err
	}
	found, err := file.Stat()
	if err == nil && !found.Mode().IsRegular() {
		err = irregular(path)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// checkRegular fails if there is something other than a regular file.
func checkRegular(path string) error {
	found, err := os.Lstat(path)
	if err == nil && !found.Mode().IsRegular() {
		return irregular(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func irregular(path string) error { return fmt.Errorf("%s is %w", path, ErrNotRegular) }
