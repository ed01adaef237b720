package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lock is the right to change the contents of the directory. The kernel releases
// it when the process ends, however it ends.
type lock struct{ file *os.File }

// acquire takes the lock or fails at once with a *LockedError. The file names the
// holder, as "PID ssmonitor HOLDER".
func acquire(directory, holder string) (*lock, error) {
	path := filepath.Join(directory, lockName)
	for {
		file, err := openLock(path)
		if err != nil {
			return nil, fmt.Errorf("opening the ledger's lock: %w", err)
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			defer func() { _ = file.Close() }()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, heldBy(file, directory)
			}
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		// A purge may have removed the file between opening and locking it.
		if !isAt(file, path) {
			_ = file.Close()
			continue
		}
		// The name only serves error messages. A full disk may refuse it.
		_ = file.Truncate(0)
		_, _ = file.WriteAt(fmt.Appendf(nil, "%d ssmonitor %s\n", os.Getpid(), holder), 0)
		return &lock{file}, nil
	}
}

func openLock(path string) (*os.File, error) {
	for {
		file, err := openRegular(path, os.O_RDWR)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		file, err = createFile(path)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
}

func heldBy(file *os.File, directory string) error {
	locked := &LockedError{Directory: directory}
	text, err := io.ReadAll(io.LimitReader(file, 128))
	if err != nil {
		return locked
	}
	var pid int
	var holder string
	if _, err := fmt.Sscanf(string(text), "%d ssmonitor %s", &pid, &holder); err == nil {
		locked.PID, locked.Holder = pid, strings.ToValidUTF8(holder, "?")
	}
	return locked
}

func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, there)
}

func (l *lock) release() {
	_ = l.file.Truncate(0)
	_ = l.file.Close()
}
