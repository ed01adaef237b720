package serving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"ssmonitor/internal/peer"
)

// ErrSocketInUse means that a running process serves the socket.
var ErrSocketInUse = errors.New("the socket is in use by another process")

// maxSocketPath is the maximum length of a unix socket's path in bytes: sun_path
// of sockaddr_un in linux/un.h, without the terminating 0.
const maxSocketPath = 107

// SocketMode is the mode of the agent's socket: its group may connect.
const SocketMode = 0o660

// ListenSocket listens on a unix socket of [SocketMode] that belongs to group, so
// that members of the group may connect. If there is no such group, or the
// calling user may not give a file to it, ListenSocket logs that and leaves the
// socket to the user's own group.
//
// It replaces a socket file that no process serves any more. It refuses to
// replace a socket that a running process serves, with ErrSocketInUse, and
// anything that is not a socket. It does not protect two processes that start
// at the same moment from each other; the lock on the state does.
//
// Closing the socket removes the file if it is still the socket's own.
func ListenSocket(path, group string, log *slog.Logger) (*Socket, error) {
	return listen(&Socket{path: path, share: func(own fs.FileInfo) error {
		if err := giveToGroup(path, own, group); err != nil {
			log.Info("only the agent's own group can read from the socket", "socket", path, "error", err)
		}
		return os.Chmod(path, SocketMode)
	}})
}

// ListenPrivateSocket is like [ListenSocket], but the socket has mode 0600: only the
// calling user and root may connect.
func ListenPrivateSocket(path string) (*Socket, error) {
	return listen(&Socket{path: path, share: func(fs.FileInfo) error { return nil }})
}

// Socket is a listener that others can't silence by removing its file: see Restore.
type Socket struct {
	path  string
	share func(own fs.FileInfo) error // lets others than the user connect to a new file

	mutex   sync.Mutex
	current *net.UnixListener // replaced by Restore
	own     fs.FileInfo
	closed  bool
}

var _ net.Listener = (*Socket)(nil)

func listen(s *Socket) (*Socket, error) {
	err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: create the directory %s or choose another path", err, filepath.Dir(s.path))
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", s.path, err)
	}
	return s, nil
}

// open listens on a new file. After an error nothing has changed.
func (s *Socket) open() error {
	if len(s.path) > maxSocketPath {
		return fmt.Errorf("the path has %d bytes, want at most %d: choose a shorter directory", len(s.path), maxSocketPath)
	}
	if strings.HasPrefix(s.path, "@") {
		// It would be an abstract socket, to which every user may connect.
		return errors.New("the path begins with @: want the path of a file")
	}
	if err := removeDeadSocket(s.path); err != nil {
		return err
	}
	listener, err := listenPrivately(s.path)
	if err != nil {
		return err
	}
	own, err := os.Lstat(s.path)
	if err == nil {
		err = s.share(own)
	}
	if err != nil {
		return errors.Join(err, listener.Close(), removeOwn(s.path, own))
	}
	s.current, s.own = listener, own
	return nil
}

// Restore listens on a new file if the socket's own is gone or something else has its
// place, and reports whether it does. It replaces no more than [ListenSocket] does.
// Connections go on, whatever happens to the file. While it is the socket's own, its
// mode and group are left as the administrator may have set them.
func (s *Socket) Restore() (restored bool, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	// The socket holds its file, so that no other one gets its number.
	if now, err := os.Stat(s.path); s.closed || (err == nil && os.SameFile(now, s.own)) {
		return false, nil
	}
	unreachable := s.current
	if err := s.open(); err != nil {
		return false, fmt.Errorf("listening on %s again: %w", s.path, err)
	}
	_ = unreachable.Close()
	return true, nil
}

// Accept waits for the next connection.
func (s *Socket) Accept() (net.Conn, error) {
	for {
		listener := s.listener()
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) && s.listener() != listener {
			continue // Restore has replaced it
		}
		return conn, err
	}
}

func (s *Socket) listener() *net.UnixListener {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.current
}

// Addr returns the path.
func (s *Socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close stops listening. It removes the file unless another process has
// replaced it in the meantime.
func (s *Socket) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	// While the socket is open, no other file has the number of its own.
	return errors.Join(removeOwn(s.path, s.own), s.current.Close())
}

// removeOwn removes the file at the path if it is that one.
func removeOwn(path string, own fs.FileInfo) error {
	if now, err := os.Lstat(path); err != nil || own == nil || !os.SameFile(now, own) {
		return nil
	}
	return os.Remove(path)
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
	unixListener.SetUnlinkOnClose(false) // Socket.Close checks first that the file is its own
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
