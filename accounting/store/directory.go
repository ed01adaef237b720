package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Names in the state directory, all of them.
const (
	lockName     = "lock"
	newSuffix    = ".new"
	damagedInfix = ".damaged-"
)

var fileNames = [2]string{"ledger-a.db", "ledger-b.db"}

const (
	fileMode      = 0o640
	directoryMode = 0o750
	// maxSetAside is how many damaged files are kept: a failing disk must not
	// fill itself up with them.
	maxSetAside = 8
)

// makeDirectory makes the directory where it is missing.
func makeDirectory(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(path, directoryMode); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes names that came or went durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = directory.Close() }()
	if err := directory.Sync(); err != nil {
		return fmt.Errorf("syncing the directory %s: %w", path, err)
	}
	return nil
}

// openRegular opens a file that is there, follows no link and waits for no
// pipe: root opens the directory of a user with fewer rights.
func openRegular(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	information, err := file.Stat()
	if err == nil && !information.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: move it away", path)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// createFile makes a new file that belongs to whom the directory belongs to,
// so that the agent can go on with what root wrote.
func createFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := adopt(file); err != nil {
		_ = file.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return file, nil
}

func adopt(file *os.File) error {
	// The process's umask may have taken bits away.
	if err := file.Chmod(fileMode); err != nil {
		return err
	}
	directory, err := os.Stat(filepath.Dir(file.Name()))
	if err != nil {
		return err
	}
	owner, ok := directory.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	user := -1
	if os.Geteuid() == 0 {
		user = int(owner.Uid)
	}
	// A user outside the directory's group can't give files to it: they are
	// private then.
	if err := file.Chown(user, int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// allocate reserves space at once, so that a copy that does not fit fails
// before it fills the disk.
func allocate(file *os.File, size int64) error {
	err := syscall.Fallocate(int(file.Fd()), 0, 0, size)
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("allocating %d bytes for %s: %w", size, file.Name(), err)
	}
	return nil
}

// setAside renames a damaged file to a name that is free and returns that.
func setAside(path string, now time.Time) (string, error) {
	aside := path + damagedInfix + now.UTC().Format("20060102T150405Z")
	for free, n := aside, 2; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			aside = free
			break
		} else if err != nil {
			return "", err
		}
		free = fmt.Sprintf("%s-%d", aside, n)
	}
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("setting a damaged file aside: %w", err)
	}
	return aside, syncDirectory(filepath.Dir(path))
}

// dropOldest removes the oldest of the files that were set aside, down to
// maxSetAside, and returns what it removed.
func dropOldest(directory string) ([]string, error) {
	aside, err := ownFiles(directory, func(name string) bool { return strings.Contains(name, damagedInfix) })
	if err != nil || len(aside) <= maxSetAside {
		return nil, err
	}
	slices.SortFunc(aside, func(a, b string) int { return strings.Compare(timeOf(a), timeOf(b)) })
	aside = aside[:len(aside)-maxSetAside]
	for i, name := range aside {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			return aside[:i], err
		}
	}
	return aside, nil
}

func timeOf(name string) string {
	_, after, _ := strings.Cut(name, damagedInfix)
	return after
}

// ownFiles returns the names of the ledger's files, those set aside included,
// that pass the filter.
func ownFiles(directory string, keep func(name string) bool) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		for _, own := range fileNames {
			if (name == own || name == own+newSuffix || strings.HasPrefix(name, own+damagedInfix)) && keep(name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// Purge removes the ledger: exactly the files that this package made, those
// that were set aside included. The directory stays. It fails with a
// *LockedError while a process holds the directory; a directory that is not
// there is no error.
func Purge(directory string) error {
	if _, err := os.Stat(directory); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := acquire(directory, "teardown")
	if err != nil {
		return err
	}
	defer lock.release()
	names, err := ownFiles(directory, func(string) bool { return true })
	if err != nil {
		return fmt.Errorf("purging the ledger: %w", err)
	}
	// The lock goes last, so that nobody begins a new ledger meanwhile.
	for _, name := range append(names, lockName) {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			return fmt.Errorf("purging the ledger: %w", err)
		}
	}
	return syncDirectory(directory)
}
