package processes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Why a file that a process names is not read, for errors.Is.
var (
	// ErrUnreadable means that the user of the process may not read it.
	ErrUnreadable = errors.New("the user of the process may not read it: if it is in use all the same, name it with --shadowsocks")
	// ErrRelative means that the working directory of the process is hidden from this one.
	ErrRelative = errors.New("only root can see in which directory that is: run ssmonitor setup as root, or name the file with --shadowsocks")
)

// MayRead fails unless the user of the server may read the file or list the directory, by
// the modes of all directories that lead to it. It fails with ErrUnreadable, with
// ErrRelative or as Stat of package os does. It returns the path without links.
func (s Server) MayRead(path string) (resolved string, err error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s: %w", path, ErrRelative)
	}
	resolved, err = filepath.EvalSymlinks(path)
	if err != nil || s.user.id == 0 {
		return resolved, err
	}
	const execute, read = 1, 4
	bit := fs.FileMode(read)
	for at := resolved; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return "", err
		}
		if !s.user.allowed(info, bit) {
			return "", fmt.Errorf("%s: %w", path, ErrUnreadable)
		}
		if at == filepath.Dir(at) {
			return resolved, nil
		}
		bit = execute
	}
}

// Root reports whether root runs the server.
func (s Server) Root() bool { return s.user.id == 0 }

// allowed reports whether the mode of a file grants the user the bit.
func (u user) allowed(info fs.FileInfo, bit fs.FileMode) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return false
	case owner.Uid == u.id:
		bit <<= 6
	case slices.Contains(u.groups, owner.Gid):
		bit <<= 3
	}
	return info.Mode().Perm()&bit != 0
}
