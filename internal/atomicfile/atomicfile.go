// Package atomicfile replaces files as a whole. A process that is killed leaves
// nothing behind or, rarely, one file of a fixed name, which the next one replaces.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// maxAttempts ends a race with somebody who puts things in the way all the time.
	maxAttempts = 100
	// patience is how long another process may take to write the file. What a killed
	// process has left may be locked by whoever may read it, for ever.
	patience = 5 * time.Second
)

// Write replaces the file at path by one with the content and the mode, which the
// umask does not change. Readers see the old or the new content, also after a power
// cut. Several processes may write at once: one waits for the other.
//
// The content is written to a file without a name, which ends with a process that is
// killed. It is named .NAME.new for the moment in which it replaces another one; where
// the file system has no such files, it has that name from the beginning. The directory
// may be writable for everyone: Write uses or replaces a file of that name only if it
// is the caller's own, and removes anything else there, other than a directory with
// files.
func Write(path string, content []byte, mode fs.FileMode) error {
	return write(path, content, mode, (*os.File).Sync)
}

// write calls finish before the new file replaces the other one.
func write(path string, content []byte, mode fs.FileMode, finish func(*os.File) error) error {
	name := temporaryName(path)
	file, err := openUnnamed(filepath.Dir(name))
	if err != nil {
		return writeNamed(path, content, mode, finish)
	}
	err = fill(file, content, mode, finish)
	if err == nil && !Interrupted(path) && link(file, path) == nil { // there was no file to replace
		return file.Close()
	}
	if err == nil {
		err = linkTemporary(file, name)
	}
	if err == nil {
		err = rename(name, path)
	}
	return errors.Join(err, file.Close()) // the lock ends here
}

// writeNamed writes to a file that has the temporary name from the beginning. It calls
// finish, which may close the file, before that replaces the other one.
func writeNamed(path string, content []byte, mode fs.FileMode, finish func(*os.File) error) error {
	name := temporaryName(path)
	file, err := open(name)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // finish has reported errors; the lock ends here
	if err := fill(file, content, mode, finish); err != nil {
		_ = os.Remove(name) // the first error is the one to report
		return err
	}
	return rename(name, path)
}

// rename puts the new file in place, or removes it.
func rename(name, path string) error {
	err := os.Rename(name, path)
	if err != nil {
		_ = os.Remove(name) // the first error is the one to report
	}
	return err
}

// Interrupted reports whether a Write of the file has not ended: it is in progress,
// or its process was killed.
func Interrupted(path string) bool {
	_, err := os.Lstat(temporaryName(path))
	return err == nil
}

// TemporaryName returns the name that the next content of a file has before it replaces
// the other one. It is in the same directory, so that a rename is enough.
func temporaryName(path string) string {
	directory, base := filepath.Split(path)
	return directory + "." + base + ".new"
}

// open returns the file of that name, locked until it is closed. The lock of a
// process that is killed ends with it.
func open(name string) (*os.File, error) {
	for range maxAttempts {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			file, err = openExisting(name)
		}
		if err != nil {
			return nil, err
		}
		if file != nil && lockOrClose(file) {
			return file, nil
		}
	}
	return nil, errBusy(name)
}

func errBusy(name string) error {
	return fmt.Errorf("writing %s: other processes replace it all the time", name)
}

// openExisting opens the file that another process writes or has left behind. It
// returns nil if there is none any more. It removes anything else: a link may lead
// to any file of the user.
func openExisting(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		if usable(file) {
			return file, nil
		}
		_ = file.Close()
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: move it away", err)
	}
	return nil, nil
}

// usable reports whether the file is a regular one of the caller, with no other name.
func usable(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && isOwn(info) && info.Sys().(*syscall.Stat_t).Nlink <= 1
}

// isOwn reports whether a file is a regular one of the caller.
func isOwn(info fs.FileInfo) bool {
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(status.Uid) == os.Geteuid()
}

// lockOrClose waits for the file and reports whether its name is still the file's: the
// process that had locked it may have renamed it to its destination. If not, it closes the
// file. On a file system without locks, writers have to take turns by themselves. A file
// that stays locked for as long as our patience lasts loses its name.
func lockOrClose(file *os.File) bool {
	locked, err := lock(file)
	if err == nil && !locked {
		_ = os.Remove(file.Name())
	}
	if err == nil {
		var opened, named fs.FileInfo
		if opened, err = file.Stat(); err == nil {
			if named, err = os.Lstat(file.Name()); err == nil && os.SameFile(opened, named) {
				return true
			}
		}
	}
	_ = file.Close()
	return false
}

// lock waits for the lock of a file until it has it or our patience ends.
func lock(file *os.File) (locked bool, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return false, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = raw.Control(func(fd uintptr) { // which keeps the descriptor open until then
			for errors.Is(syscall.Flock(int(fd), syscall.LOCK_EX), syscall.EINTR) {
			}
		})
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-done:
		return true, nil
	case <-timeout.C:
		return false, nil
	}
}

// fill writes the content, and calls finish before a rename gives it its name.
func fill(file *os.File, content []byte, mode fs.FileMode, finish func(*os.File) error) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return finish(file)
}
