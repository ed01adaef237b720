package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ssmonitor/internal/sqlitefile"
)

// locksPath lists the locks that processes hold: proc_locks(5).
const locksPath = "/proc/locks"

// Holder returns the process that holds the directory, as a *LockedError, or nil
// if there is none. It does not take the lock, so that it never keeps an agent
// from starting. It does not see processes of another PID namespace. It fails with
// fs.ErrPermission for anybody but root and the owner of the directory.
func Holder(directory string) (*LockedError, error) {
	file, err := sqlitefile.OpenRegular(filepath.Join(directory, lockName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the ledger's lock: %w", err)
	}
	defer func() { _ = file.Close() }()
	named := heldBy(file, directory)
	if named.PID == 0 {
		return nil, nil
	}
	// The file still names a process that was killed, and another process may
	// have its number by now. Only the lock distinguishes them.
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
// The inode number in it is useless: some file systems show a different one.
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
