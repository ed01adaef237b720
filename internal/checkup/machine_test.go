package checkup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/finding"
)

// machine is a machine whose files the test writes. Group ssmonitor has the id of
// the test's own group, so that the test can give files to it; user netdata is
// in it.
type machine struct {
	*Machine
	t *testing.T
}

const (
	socket    = "/run/ssmonitor/ssmonitor.sock"
	csv       = "/run/ssmonitor/ssmonitor.csv"
	group     = "ssmonitor"
	netdataID = "7777"
)

func newMachine(t *testing.T) machine {
	t.Helper()
	// Not t.TempDir(), whose paths are too long for a socket.
	root, err := os.MkdirTemp("", "checkup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	own := fmt.Sprint(os.Getgid())
	return machine{&Machine{
		Root: root,
		Now:  time.Now(),
		LookupUser: func(name string) (User, error) {
			if name != "netdata" {
				return User{}, user.UnknownUserError(name)
			}
			return User{netdataID, []string{netdataID, own}}, nil
		},
		LookupGroup: func(name string) (*user.Group, error) {
			if name != group {
				return nil, user.UnknownGroupError(name)
			}
			return &user.Group{Gid: own}, nil
		},
	}, t}
}

// write creates a file of the given age.
func (m machine) write(path, content string, mode fs.FileMode, age time.Duration) {
	m.t.Helper()
	path = filepath.Join(m.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	_ = os.Remove(path) // it may be read-only
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, mode), os.Chtimes(path, m.Now.Add(-age), m.Now.Add(-age))); err != nil {
		m.t.Fatal(err)
	}
}

// listen creates the socket.
func (m machine) listen(mode fs.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.Root, socket)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = listener.Close() })
	if err := os.Chmod(path, mode); err != nil {
		m.t.Fatal(err)
	}
}

// asNobody gives the test's thread the file permissions of user nobody, until the
// test's files are removed. The thread is never unlocked, so it ends with the test.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("becoming another user needs root")
		}
		t.Skip("becoming another user needs root")
	}
	runtime.LockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SetfsuidRetUid(os.Getuid()); err != nil {
			t.Error(err)
		}
	})
}

func (m machine) chmod(path string, mode fs.FileMode) {
	m.t.Helper()
	if err := os.Chmod(filepath.Join(m.Root, path), mode); err != nil {
		m.t.Fatal(err)
	}
}

// wantFindings compares findings with lines "LEVEL ID PART", where PART is in the
// message or the remedy.
func wantFindings(t *testing.T, got []finding.Finding, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(want), render(t, got))
	}
	for i, f := range got {
		level, rest, _ := strings.Cut(want[i], " ")
		id, part, _ := strings.Cut(rest, " ")
		if f.Level.String() != level || string(f.ID) != id || !strings.Contains(f.Message+"\n"+f.Remedy, part) {
			t.Errorf("got %s %s %s\n%s\nwant %s", f.Level, f.ID, f.Message, f.Remedy, want[i])
		}
		if f.Level >= finding.Unknown && f.Remedy == "" {
			t.Errorf("%s: there is no remedy", f.Message)
		}
	}
}

func render(t *testing.T, findings []finding.Finding) string {
	t.Helper()
	var text bytes.Buffer
	if err := errors.Join(WriteText(&text, findings), WriteSummary(&text, findings)); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	account, err := m.LookupUser("root")
	if err != nil || account.ID != "0" || len(account.Groups) == 0 {
		t.Errorf("root is %+v, %v", account, err)
	}
	if _, err := m.LookupUser("no-such-user"); !errors.As(err, new(user.UnknownUserError)) {
		t.Errorf("an unknown user: %v", err)
	}
	if root, err := m.LookupGroup("root"); err != nil || root.Gid != "0" {
		t.Errorf("group root is %+v, %v", root, err)
	}
	if _, err := m.LookupGroup("no-such-group"); !errors.As(err, new(user.UnknownGroupError)) {
		t.Errorf("an unknown group: %v", err)
	}
}

func (m machine) remove(path string) {
	m.t.Helper()
	if err := os.RemoveAll(filepath.Join(m.Root, path)); err != nil {
		m.t.Fatal(err)
	}
}
