package processes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// Why a file that a process names is not read, for errors.Is.
var (
	// ErrUnreadable means that the user of the process may not read it.
	ErrUnreadable = errors.New("the user of the process may not read it: if it is in use all the same, name it with --shadowsocks")
	// ErrWritable means that others than root may write it or replace it, though the
	// process is not root's.
	ErrWritable = errors.New("others than root may write or replace it, and the process is not root's: if it is to be counted, name it with --shadowsocks")
	// ErrRelative means that the working directory of the process is hidden from this one.
	ErrRelative = errors.New("only root can see in which directory that is: run ssmonitor setup as root, or name the file with --shadowsocks")
	// ErrElsewhere means that the process has other files mounted there.
	ErrElsewhere = errors.New("the process sees other files there, as in a container: name its ports with --port")
)

// Resolve returns the path, without links, of a file or directory that the server names, if
// that counts: it has to be the one that the server sees. If the server is not root's, only
// root may write it or any directory that leads to it, so that nobody can put another one
// in its place while it is read, and the server's user may read it by their modes. Resolve
// fails with one of the errors above, or as Stat of package os does.
func (s Server) Resolve(path string) (resolved string, err error) {
	switch {
	case !filepath.IsAbs(path):
		return "", fmt.Errorf("%s: %w", path, ErrRelative)
	case !s.view.has(path):
		return "", fmt.Errorf("%s: %w", path, ErrElsewhere)
	}
	resolved, err = filepath.EvalSymlinks(path)
	switch {
	case err != nil:
		return "", err
	case !s.view.has(resolved):
		return "", fmt.Errorf("%s: %w", path, ErrElsewhere)
	case s.IsRoots():
		return resolved, nil
	}
	const execute, read = 1, 4
	bit := fs.FileMode(read)
	for at := resolved; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if !rootsOnly(info) {
			return "", fmt.Errorf("%s: %w", path, ErrWritable)
		}
		if !s.owner.allowed(info, bit) {
			return "", fmt.Errorf("%s: %w", path, ErrUnreadable)
		}
		if at == filepath.Dir(at) {
			return resolved, nil
		}
		bit = execute
	}
}

// SeesOtherFiles reports whether the server has another root directory: its paths mean other
// files.
func (s Server) SeesOtherFiles() bool { return s.view.nothing }

// IsRoots reports whether root runs the server.
func (s Server) IsRoots() bool { return s.owner.id == 0 }

// User returns the name of the user who runs the server, or the number.
func (s Server) User() string {
	id := strconv.FormatUint(uint64(s.owner.id), 10)
	if found, err := user.LookupId(id); err == nil {
		return found.Username
	}
	return id
}

// rootsOnly reports whether nobody but root may write a file that has no link in its path.
func rootsOnly(info fs.FileInfo) bool {
	const others = 0o022
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && status.Uid == 0 && info.Mode().Perm()&others == 0 && info.Mode()&fs.ModeSymlink == 0
}

// allowed reports whether the mode of a file grants the user the bit.
func (a account) allowed(info fs.FileInfo, bit fs.FileMode) bool {
	status, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return false
	case status.Uid == a.id:
		bit <<= 6
	case slices.Contains(a.groups, status.Gid):
		bit <<= 3
	}
	return info.Mode().Perm()&bit != 0
}
