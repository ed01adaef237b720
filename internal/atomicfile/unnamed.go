package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openUnnamed opens a new file without a name, and locks it. It fails on file systems
// that have no such files, and without /proc, by which the file is named later.
func openUnnamed(directory string) (*os.File, error) {
	file, err := os.OpenFile(directory, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = os.Stat(nameless(file)); err == nil {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// nameless returns a path that leads to an open file.
func nameless(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }

// link gives an unnamed file a name. It fails with fs.ErrExist if the name is taken.
func link(file *os.File, name string) error {
	if err := unix.Linkat(unix.AT_FDCWD, nameless(file), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &fs.PathError{Op: "link", Path: name, Err: err}
	}
	return nil
}

// linkTemporary gives an unnamed file the temporary name. If that is taken, it waits
// for the process that writes at the same time, and removes what a process that was
// killed has left.
func linkTemporary(file *os.File, name string) error {
	for range maxAttempts {
		err := link(file, name)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		other, err := openExisting(name)
		if err != nil {
			return err
		}
		if other == nil || !lockOrClose(other) {
			continue
		}
		err = os.Remove(name)
		if err := errors.Join(err, other.Close()); err != nil {
			return err
		}
	}
	return errBusy(name)
}
