package serving_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
)

// testSocket serves "hello" on a socket of mode 0660.
func testSocket(t *testing.T, path string) *serving.Socket {
	t.Helper()
	socket, err := serving.ListenSocket(path, "no-such-group-here", testkit.Quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if now, err := os.Lstat(path); err == nil && now.Mode() == fs.ModeSocket|0o660 {
			t.Error("the socket is left behind")
		}
	})
	servingtest.ServeUntilEnd(t, socket, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	return socket
}

// wantAnswer connects to the socket and asks on the connection, which may be an old one.
func wantAnswer(t *testing.T, path string, conn net.Conn) {
	t.Helper()
	if conn == nil {
		var err error
		if conn, err = net.Dial("unix", path); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || string(answer[max(0, len(answer)-5):]) != "hello" {
		t.Errorf("got %q, %v", answer, err)
	}
}

func wantRestored(t *testing.T, socket *serving.Socket, want bool) {
	t.Helper()
	if restored, err := socket.Restore(); err != nil || restored != want {
		t.Fatalf("restored %t, %v, want %t", restored, err, want)
	}
}

// TestSocketIsRestored lets others do everything to the file after which nobody can
// connect, without their meaning to serve anything there.
func TestSocketIsRestored(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"removed": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"replaced by a dead socket": func(path string) error {
			dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".new", Net: "unix"})
			if err != nil {
				return err
			}
			return errors.Join(os.Rename(path+".new", path), dead.Close())
		},
		"its directory emptied and made anew": func(path string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(path)), os.Mkdir(filepath.Dir(path), 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(testkit.OpenDirectory(t), "d", "socket")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			socket := testSocket(t, path)
			wantRestored(t, socket, false)
			open, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			wantAnswer(t, path, nil) // so the first connection was accepted as well
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			wantRestored(t, socket, true)
			wantRestored(t, socket, false)
			wantAnswer(t, path, nil)
			wantAnswer(t, path, open)
			if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
				t.Errorf("the mode is %s, %v, want a socket's 0660", info.Mode(), err)
			}
		})
	}
}

// TestSocketRestoresNothingThatBelongsToOthers has what may be precious at the path.
// Once it is gone, the socket is back.
func TestSocketRestoresNothingThatBelongsToOthers(t *testing.T) {
	path := filepath.Join(testkit.OpenDirectory(t), "socket")
	socket := testSocket(t, path)
	for name, put := range map[string]func() (remove func() error){
		"a file": func() func() error {
			testkit.WriteFile(t, path, "precious")
			return func() error { return os.Remove(path) }
		},
		"a directory": func() func() error {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			return func() error { return os.Remove(path) }
		},
		"the socket of another": func() func() error {
			other, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			return other.Close
		},
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		remove := put()
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if restored, err := socket.Restore(); err == nil || restored {
				t.Errorf("%s: restored %t, %v", name, restored, err)
			}
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s was replaced: %v", name, err)
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		wantRestored(t, socket, true)
		wantAnswer(t, path, nil)
	}
}

// TestSocketLeavesTheAdministratorAlone has changes after which clients can connect.
func TestSocketLeavesTheAdministratorAlone(t *testing.T) {
	path := filepath.Join(testkit.OpenDirectory(t), "socket")
	socket := testSocket(t, path)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, socket, false)
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the mode is %s, %v", info.Mode(), err)
	}
	if err := errors.Join(os.Rename(path, path+".there"), os.Symlink(path+".there", path)); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, socket, false)
	wantAnswer(t, path, nil)
	if err := errors.Join(os.Rename(path+".there", path), os.Chmod(path, 0o660)); err != nil {
		t.Fatal(err)
	}
}

// TestClosedSocketIsNotRestored restores it while it is in use, and after its end.
func TestClosedSocketIsNotRestored(t *testing.T) {
	path := filepath.Join(testkit.OpenDirectory(t), "socket")
	socket, err := serving.ListenPrivateSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := socket.Accept()
		accepted <- err
	}()
	for range 100 {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		wantRestored(t, socket, true)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the mode is %s, %v, want a socket's 0600", info.Mode(), err)
	}
	if err := socket.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	wantRestored(t, socket, false)
	testkit.WantFiles(t, filepath.Dir(path))
}

// TestSocketWaitsForItsDirectory has the directory removed, with all that is in it.
func TestSocketWaitsForItsDirectory(t *testing.T) {
	path := filepath.Join(testkit.OpenDirectory(t), "d", "socket")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	socket := testSocket(t, path)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Restore(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the directory does not exist", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	wantRestored(t, socket, true)
	wantAnswer(t, path, nil)
}
