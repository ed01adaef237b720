package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// locksPath lists the locks that processes hold: proc_locks(5).
const locksPath = "/proc/locks"

// Holder returns who holds the directory: its *LockedError, or nil where nobody
// does. It looks without taking the lock, so that it never keeps an agent from
// starting. A process of another PID namespace is not seen. It fails with
// fs.ErrPermission where the directory may not be read.
func Holder(directory string) (*LockedError, error) {
	file, err := openRegular(filepath.Join(directory, lockName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the ledger's lock: %w", err)
	}
	defer func() { _ = file.Close() }()
	var named *LockedError
	if !errors.As(heldBy(file, directory), &named) || named.PID == 0 {
		return nil, nil
	}
	// A process that was killed is named still. The number that it had is told
	// from another process's by the lock alone.
	locks, err := os.ReadFile(locksPath)
	if err != nil {
		return nil, fmt.Errorf("looking for the holder of the ledger's lock: %w", err)
	}
	if !holdsFlock(locks, named.PID) {
		return nil, nil
	}
	return named, nil
}

// holdsFlock looks for a line such as "2: FLOCK ADVISORY WRITE 1234 08:01:99 0 EOF".
// The file's number in it is of no use: some file systems show another one.
func holdsFlock(locks []byte, pid int) bool {
	number := []byte(strconv.Itoa(pid))
	for line := range bytes.Lines(locks) {
		fields := bytes.Fields(line)
		if len(fields) > 4 && string(fields[1]) == "FLOCK" && string(fields[3]) == "WRITE" && bytes.Equal(fields[4], number) {
			return true
		}
	}
	return false
}
