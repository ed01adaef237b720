package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"ssmonitor/internal/peer"
)

// ErrSocketInUse means that a running process serves the socket.
var ErrSocketInUse = errors.New("the socket is in use by another process")

// maxSocketPath is the maximum length of a unix socket's path in bytes: sun_path
// of sockaddr_un in linux/un.h, without the terminating 0.
const maxSocketPath = 107

// ListenSocket listens on a unix socket of mode 0660 that belongs to group, so
// that members of the group may connect. If there is no such group, or the
// calling user may not give a file to it, ListenSocket logs that and leaves the
// socket to the user's own group.
//
// It replaces a socket file that no process serves any more. It refuses to
// replace a socket that a running process serves, with ErrSocketInUse, and
// anything that is not a socket. It does not protect two processes that start
// at the same moment from each other; the lock on the state does.
//
// Closing the listener removes the file if it is still the listener's own.
func ListenSocket(path, group string, log *slog.Logger) (net.Listener, error) {
	listener, err := listenSocket(path, group, log)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return listener, nil
}

// ListenPrivateSocket is like [ListenSocket], but the socket has mode 0600: only the
// calling user and root may connect.
func ListenPrivateSocket(path string) (net.Listener, error) {
	s, err := listenOwnSocket(path)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return s, nil
}

func listenSocket(path, group string, log *slog.Logger) (net.Listener, error) {
	s, err := listenOwnSocket(path)
	if err != nil {
		return nil, err
	}
	if err := giveToGroup(path, s.own, group); err != nil {
		log.Info("only the agent's own group can read from the socket", "socket", path, "error", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// listenOwnSocket listens on a socket file of mode 0600.
func listenOwnSocket(path string) (*socket, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path has %d bytes, want at most %d: choose a shorter directory", len(path), maxSocketPath)
	}
	if strings.HasPrefix(path, "@") {
		// It would be an abstract socket, to which every user may connect.
		return nil, errors.New("the path begins with @: want the path of a file")
	}
	if err := removeDeadSocket(path); err != nil {
		return nil, err
	}
	listener, err := listenPrivately(path)
	if err != nil {
		return nil, err
	}
	own, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &socket{UnixListener: listener, path: path, own: own}, nil
}

// listenPrivately listens on a new socket file of mode 0600. bind(2) creates
// the file with the mode of the open socket, less the umask (unix_bind in
// net/unix/af_unix.c). So the file never has a wider mode, and the umask, which
// all goroutines share, is not changed.
func listenPrivately(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var err error
		if controlErr := conn.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	unixListener, ok := listener.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is not a unix listener", listener), listener.Close())
	}
	unixListener.SetUnlinkOnClose(false) // socket.Close checks first that the file is its own
	return unixListener, nil
}

// giveToGroup does nothing if the file belongs to the group already: the
// agent's unit runs in that group and forbids chown.
func giveToGroup(path string, info fs.FileInfo, group string) error {
	found, err := user.LookupGroup(group)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && strconv.FormatUint(uint64(stat.Gid), 10) == found.Gid {
		return nil
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return fmt.Errorf("the number of group %s: %w", group, err)
	}
	return os.Chown(path, -1, gid)
}

// removeDeadSocket makes room for a new socket. It fails unless path does not
// exist or is a socket that no process serves.
func removeDeadSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("the file exists and is not a socket (%s): remove it or choose another path", info.Mode())
	}
	conn, err := net.Dial("unix", path)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("checking whether a process serves the socket: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	return fmt.Errorf("%w, %s: stop that process first or choose another path", ErrSocketInUse, peerName(conn))
}

// peerName names the process at the other end of a connection.
func peerName(conn net.Conn) string {
	cred, err := peer.Credentials(conn)
	if err != nil || cred.Pid == 0 {
		return "whose process ID is not visible from here" // it may be in another PID namespace
	}
	return fmt.Sprintf("process %d of user %d", cred.Pid, cred.Uid)
}

// socket is a listener that removes its own file.
type socket struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
}

// Close stops listening. It removes the file unless another process has
// replaced it in the meantime.
func (s *socket) Close() error {
	var removeErr error
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.own) {
		removeErr = os.Remove(s.path)
	}
	return errors.Join(s.UnixListener.Close(), removeErr)
}
