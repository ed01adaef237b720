package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// InTurn calls edit while no other process edits a file of the same directory in its
// turn. Whoever may read the directory can lock it: after some patience edit is called
// nevertheless.
func InTurn(path string, edit func() error) error {
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer directory.Close() //nolint:errcheck // nothing was written; the lock ends here
	if _, err := lock(directory); err != nil {
		return err
	}
	return edit()
}

// Replace replaces an existing file as [Write] does, and keeps its mode and its owner. A
// symbolic link stays: what it leads to is replaced.
func Replace(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("replacing %s: its owner is unknown", path)
	}
	return write(path, content, info.Mode().Perm(), func(file *os.File) error {
		if err := file.Chown(int(status.Uid), int(status.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return file.Sync()
	})
}
