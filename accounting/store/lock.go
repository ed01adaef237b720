package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ssmonitor/internal/sqlitefile"
)

// lock is the right to change the contents of the directory. The kernel releases
// it when the process ends, however it ends.
type lock struct{ file *os.File }

// locker locks the open file of a directory, as tryLock does.
type locker func(file *os.File) error

// acquire takes the lock, or fails with a *LockedError if take fails with EWOULDBLOCK.
// The file names the holder, as "PID ssmonitor HOLDER".
func acquire(directory, holder string, take locker) (*lock, error) {
	path := filepath.Join(directory, lockName)
	for {
		file, err := openLock(path)
		if err != nil {
			return nil, fmt.Errorf("opening the ledger's lock: %w", err)
		}
		if err := take(file); err != nil {
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

// tryLock fails with EWOULDBLOCK if another process has the lock.
func tryLock(file *os.File) error { return flock(file, syscall.LOCK_EX|syscall.LOCK_NB) }

// awaitLock fails with EWOULDBLOCK when ctx ends. The kernel may grant the lock later,
// which flock(2) can't cancel; it is released with the closed file then.
func awaitLock(ctx context.Context, file *os.File) error {
	granted := make(chan error, 1)
	go func() { granted <- flock(file, syscall.LOCK_EX) }()
	select {
	case err := <-granted:
		return err
	case <-ctx.Done():
		return syscall.EWOULDBLOCK
	}
}

// flock keeps the descriptor from being closed, and used again, while it waits.
func flock(file *os.File, how int) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = syscall.EINTR; errors.Is(failed, syscall.EINTR); {
			failed = syscall.Flock(int(fd), how)
		}
	})
	return errors.Join(err, failed)
}

func openLock(path string) (*os.File, error) {
	for {
		file, err := sqlitefile.OpenRegular(path, os.O_RDWR)
		if errors.Is(err, fs.ErrNotExist) {
			file, err = createFile(path)
		}
		if err == nil {
			_ = file.Chmod(lockMode) // only its owner can do that
		}
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
}

// heldBy names the process that has written its name to the lock.
func heldBy(file *os.File, directory string) *LockedError {
	locked := &LockedError{Directory: directory, Identity: identity(file.Stat())}
	if info, err := file.Stat(); err == nil {
		locked.Since = info.ModTime() // nobody but a holder writes to it, once
	}
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

// identity returns what is the same for every process that finds the file, whatever
// path leads to it: its device and inode. It is empty if they are not known.
func identity(information os.FileInfo, err error) string {
	if err != nil {
		return ""
	}
	stat, ok := information.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x-%x", stat.Dev, stat.Ino)
}

// Identity returns what identifies a directory whose ledger exists, as [Store.Identity]
// does for its holder. It is empty if that is not known.
func Identity(directory string) string {
	return identity(os.Lstat(filepath.Join(directory, lockName)))
}

func (l *lock) release() {
	_ = l.file.Truncate(0)
	_ = l.file.Close()
}
