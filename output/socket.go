package output

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// ErrSocketServed says that a living process answers on the socket.
var ErrSocketServed = errors.New("the socket is served by another process")

// longestSocket is how long a socket's path may be, in bytes: sun_path of
// sockaddr_un in linux/un.h, without the closing 0.
const longestSocket = 107

// ListenSocket listens on a unix socket of mode 0660 that belongs to group,
// where there is such a group: who is in the group may connect. Where there is
// none, or the calling user may not give files to it, that is logged and the
// socket is for the user's own group.
//
// A socket file that nobody serves any more is replaced. One that a living
// process serves is left alone, for errors.Is ErrSocketServed, and so is
// anything that is not a socket. Two processes that start in the same moment
// are kept apart by the lock on the state, not here.
//
// Closing the listener removes the file, if it is still the listener's own.
func ListenSocket(path, group string, log *slog.Logger) (net.Listener, error) {
	if length := max(len(path), len(privateSocket(filepath.Join(filepath.Dir(path), ".s4294967295")))); length > longestSocket {
		return nil, fmt.Errorf("listening on %s: its path takes %d bytes, a socket's may take %d: choose a shorter directory",
			path, length, longestSocket)
	}
	if err := refuseLiving(path); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	listener, err := listenInPlace(path, group, log)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return listener, nil
}

// listenInPlace makes the socket in a directory that only the calling user may
// enter and moves it to path when mode and group are right. So it is never
// open to anybody else, and the process's umask, which other goroutines share,
// stays as it is.
func listenInPlace(path, group string, log *slog.Logger) (net.Listener, error) {
	directory, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(directory) //nolint:errcheck // It is empty and hidden, the socket works without.

	private := privateSocket(directory)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // It would unlink the name in the directory.
	own, err := publishSocket(private, path, group, log)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &socket{UnixListener: listener, path: path, own: own}, nil
}

// privateSocket is the socket's first path, in the directory that listenInPlace
// makes. It is as short as can be, since the kernel bounds it too.
func privateSocket(directory string) string { return filepath.Join(directory, "s") }

// publishSocket returns what identifies the socket's file.
func publishSocket(private, path, group string, log *slog.Logger) (own fs.FileInfo, err error) {
	if err := giveToGroup(private, group); err != nil {
		log.Info("only the agent's own group can read from the socket", "socket", path, "error", err)
	}
	if err := os.Chmod(private, 0o660); err != nil {
		return nil, err
	}
	if own, err = os.Lstat(private); err != nil {
		return nil, err
	}
	return own, os.Rename(private, path)
}

// giveToGroup does nothing where the file is the group's already: the agent's
// unit runs in that group and forbids chown.
func giveToGroup(path, group string) error {
	found, err := user.LookupGroup(group)
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if status, ok := info.Sys().(*syscall.Stat_t); ok && strconv.FormatUint(uint64(status.Gid), 10) == found.Gid {
		return nil
	}
	number, err := strconv.Atoi(found.Gid)
	if err != nil {
		return fmt.Errorf("the number of group %s: %w", group, err)
	}
	return os.Chown(path, -1, number)
}

// refuseLiving fails unless path is free or a socket that nobody serves.
func refuseLiving(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("there is a file that is not a socket (%s): remove it or choose another path", info.Mode())
	}
	connection, err := net.Dial("unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding out whether the socket is still served: %w", err)
	}
	defer connection.Close() //nolint:errcheck // Nothing was sent.
	return fmt.Errorf("%w, %s: stop that one first, or choose another path", ErrSocketServed, peer(connection))
}

// peer names the process that listens at the other end.
func peer(connection net.Conn) string {
	var credentials *syscall.Ucred
	err := errors.ErrUnsupported
	if raw, ok := connection.(syscall.Conn); ok {
		if control, failed := raw.SyscallConn(); failed == nil {
			_ = control.Control(func(fd uintptr) {
				credentials, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
			})
		}
	}
	if err != nil || credentials.Pid == 0 {
		return "which one can't be seen from here" // It may be in another PID namespace.
	}
	return fmt.Sprintf("number %d of user %d", credentials.Pid, credentials.Uid)
}

// socket is a listener that removes its own file.
type socket struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
}

// Addr returns the path at which clients find the socket.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close stops listening and removes the file, unless another process has put
// its own there since.
func (s *socket) Close() error {
	var removing error
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.own) {
		removing = os.Remove(s.path)
	}
	return errors.Join(s.UnixListener.Close(), removing)
}
