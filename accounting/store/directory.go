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

	"ssmonitor/internal/sqlitefile"
)

// The names of all files in the state directory consist of these.
const (
	lockName     = "lock"
	databaseName = "ssmonitor.db"
	backupName   = "ssmonitor.backup.db"
	newSuffix    = ".new"
	damagedInfix = ".damaged-"
)

const (
	fileMode      = 0o640
	lockMode      = 0o600 // a reader could lock the file, and keep the agent from it
	directoryMode = 0o750
	// maxSetAside is how many damaged databases are kept: they must not fill up a
	// failing disk.
	maxSetAside = 8
	// asideFormat is that of the times in the names of what was renamed.
	asideFormat = "20060102T150405Z"
)

// makeDirectory creates the directory if it does not exist.
func makeDirectory(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(path, directoryMode); err != nil {
		return fmt.Errorf("creating the state directory: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes changes of names in the directory durable.
func syncDirectory(path string) error {
	directory, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0) // which waits for no FIFO
	if err != nil {
		return err
	}
	defer func() { _ = directory.Close() }()
	if err := directory.Sync(); err != nil {
		return fmt.Errorf("syncing the directory %s: %w", path, err)
	}
	return nil
}

// createFile creates a file with the owner and the group of the directory, so
// that the agent can use what root wrote.
func createFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := inheritOwner(file); err != nil {
		_ = file.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return file, nil
}

// inheritOwner sets the mode of a new file and gives it to the owner and the group
// of its directory, as far as the process may do that.
func inheritOwner(file *os.File) error {
	// The process's umask may have cleared bits.
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
	// A user outside the directory's group can't give files to that group, nor can a
	// container to users that it does not have. They stay private.
	err = file.Chown(user, int(owner.Gid))
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// renameDamaged renames a damaged database and its log to an unused name and returns
// the name.
func renameDamaged(path string, now time.Time) (string, error) {
	aside := path + damagedInfix + now.UTC().Format(asideFormat)
	for free, n := aside, 2; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			aside = free
			break
		} else if err != nil {
			return "", err
		}
		free = fmt.Sprintf("%s-%d", aside, n)
	}
	// The database is renamed first, so that its log is never applied to another
	// database.
	from, to := siblings(path), siblings(aside)
	for i := range from {
		if err := os.Rename(from[i], to[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("renaming a damaged file: %w", err)
		}
	}
	return aside, syncDirectory(filepath.Dir(path))
}

// dropOldest removes the oldest damaged databases until maxSetAside are left, and
// returns the names of those that it removed.
func dropOldest(directory string) ([]string, error) {
	aside, err := ownFiles(directory, func(name string) bool {
		return strings.Contains(name, damagedInfix) && !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm")
	})
	if err != nil || len(aside) <= maxSetAside {
		return nil, err
	}
	slices.SortFunc(aside, func(a, b string) int { return strings.Compare(timeOf(a), timeOf(b)) })
	aside = aside[:len(aside)-maxSetAside]
	for i, name := range aside {
		if err := removeFiles(siblings(filepath.Join(directory, name))); err != nil {
			return aside[:i], err
		}
	}
	return aside, nil
}

func timeOf(name string) string {
	_, after, _ := strings.Cut(name, damagedInfix)
	return after
}

// removeFiles removes the files that exist.
func removeFiles(names []string) error {
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// putInPlace makes a new database durable and renames it to place. It removes the
// log of the database that was there: SQLite would apply it to the new one.
func putInPlace(path, place string, rename func(from, to string) error) error {
	file, err := sqlitefile.OpenRegular(path, os.O_RDWR)
	if err != nil {
		return err
	}
	err = errors.Join(file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	if err := removeFiles(siblings(place)[1:]); err != nil {
		return err
	}
	if err := syncDirectory(filepath.Dir(place)); err != nil {
		return err
	}
	if err := rename(path, place); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(place))
}

// ownFiles returns the names of the files that this package created, including
// damaged ones, that pass the filter.
func ownFiles(directory string, keep func(name string) bool) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); isOwn(name) && keep(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func isOwn(name string) bool {
	for _, own := range [...]string{databaseName, backupName} {
		if slices.Contains(sqlitefile.With(own), name) || strings.HasPrefix(name, own+newSuffix) || strings.HasPrefix(name, own+damagedInfix) {
			return true
		}
	}
	return false
}

// removeUnfinished removes what was left by a process that ended while it wrote a
// new database.
func removeUnfinished(directory string) error {
	names, err := ownFiles(directory, func(name string) bool { return strings.Contains(name, newSuffix) })
	for _, name := range names {
		err = errors.Join(err, os.Remove(filepath.Join(directory, name)))
	}
	return err
}

// Purge removes the ledger: exactly the files that this package created,
// including damaged ones. It keeps the directory. It fails with a *LockedError
// while another process holds the directory. A missing directory is not an error.
func Purge(directory string) error {
	if _, err := os.Stat(directory); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := acquire(directory, "teardown", tryLock)
	if err != nil {
		return err
	}
	defer lock.release()
	names, err := ownFiles(directory, func(string) bool { return true })
	if err != nil {
		return fmt.Errorf("purging the ledger: %w", err)
	}
	// The lock is removed last, so that nobody begins a new ledger meanwhile.
	for _, name := range append(names, lockName) {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			return fmt.Errorf("purging the ledger: %w", err)
		}
	}
	return syncDirectory(directory)
}
