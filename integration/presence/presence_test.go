package presence

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/testkit"
)

func TestOneAgentPerNamespace(t *testing.T) {
	testkit.NetworkNamespace(t)
	if agent, err := Find(""); agent != nil || err != nil {
		t.Fatalf("without an agent: got %+v, %v", agent, err)
	}
	first, err := Take("ports", "")
	if err != nil {
		t.Fatal(err)
	}
	var running *RunningError
	if _, err := Take("", ""); !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("a second claim: got %v, want one that names process %d", err, os.Getpid())
	}
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if agent, err := Find(""); err != nil || *agent != (Agent{os.Getpid(), directory + "/ports"}) {
			t.Fatalf("got %+v, %v", agent, err)
		}
	}
	first.Close()
	again, err := Take("", "")
	if err != nil {
		t.Fatalf("a claim after the first was closed: %v", err)
	}
	if agent, err := Find(""); err != nil || agent.List != "" {
		t.Errorf("without a list: got %+v, %v", agent, err)
	}
	testkit.NetworkNamespace(t)
	other, err := Take("", "")
	if err != nil {
		t.Errorf("a claim in another network namespace: %v", err)
	}
	again.Close()
	other.Close()
}

// squat has a child listen at the address: as another user, or as root of a user
// namespace of its own, which has every capability there.
func squat(t *testing.T, command ...string) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.File()
	if err := errors.Join(err, listener.Close()); err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // the child has its own
	// Listening again makes the credentials those of the child.
	startPython(t, command, "import signal,socket; s=socket.socket(fileno=3); s.listen(5); print('up', flush=True); signal.pause()", file)
}

// startPython starts a program of Python by a command, and waits until it says up.
func startPython(t *testing.T, command []string, program string, files ...*os.File) {
	t.Helper()
	var stdout io.Reader
	command = slices.Concat(command, []string{"/usr/bin/python3", "-c", program})
	testkit.Start(t, func(child *exec.Cmd) {
		var err error
		child.Stderr, child.ExtraFiles = os.Stderr, files
		if stdout, err = child.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
	}, command[0], command[1:]...)
	if _, err := stdout.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
}

var asNobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}

// TestStrangerIsNoObstacle has others take the address, and who keeps the totals.
func TestStrangerIsNoObstacle(t *testing.T) {
	tests := []struct {
		name    string
		command []string
		agent   bool
	}{
		{"nobody", asNobody, false},
		{"root of a user namespace", slices.Concat(asNobody, []string{"unshare", "--user", "--map-root-user"}), false},
		{"the owner of the state directory", []string{"setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"}, true},
		{"root", []string{"env"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			state := t.TempDir()
			if err := os.Chown(state, 1234, 1234); err != nil {
				t.Fatal(err)
			}
			squat(t, test.command...)
			claim, err := Take("", t.TempDir(), state)
			if test.agent {
				if !errors.As(err, new(*RunningError)) {
					t.Errorf("got %v, want a RunningError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer claim.Close()
			if claim.Stranger == nil || !claim.Stranger.Known || claim.Stranger.UID != 65534 {
				t.Errorf("got the stranger %+v, want user 65534", claim.Stranger)
			}
			if agent, err := Find(state); agent != nil || err != nil {
				t.Errorf("Find: got %+v, %v, want no agent", agent, err)
			}
		})
	}
}

// takeAddress returns a socket that has the address, and does not listen.
func takeAddress(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestSilentStrangerIsNoObstacle has a process take the address that accepts no
// connection: it does not listen, or its backlog is full.
func TestSilentStrangerIsNoObstacle(t *testing.T) {
	for _, listens := range []bool{false, true} {
		testkit.NetworkNamespace(t)
		fd := takeAddress(t)
		if listens {
			if err := unix.Listen(fd, 0); err != nil {
				t.Fatal(err)
			}
			for range 2 { // more than fit
				if connection, err := net.Dial("unix", address); err == nil {
					defer func() { _ = connection.Close() }()
				}
			}
		}
		if agent, err := Find(""); agent != nil || err != nil {
			t.Errorf("listening %t: Find: got %+v, %v, want no agent", listens, agent, err)
		}
		claim, err := Take("", "")
		if err != nil {
			t.Fatal(err)
		}
		if claim.Stranger == nil || claim.Stranger.Known {
			t.Errorf("listening %t: got the stranger %+v, want an unknown one", listens, claim.Stranger)
		}
		claim.Close()
	}
}

// TestClaimWaitsForAnAgentThatBegins has an agent between bind and listen.
func TestClaimWaitsForAnAgentThatBegins(t *testing.T) {
	testkit.NetworkNamespace(t)
	fd := takeAddress(t)
	begun := time.AfterFunc(10*pause, func() { _ = unix.Listen(fd, 5) })
	defer begun.Stop()
	claim, err := Take("", "")
	if !errors.As(err, new(*RunningError)) {
		t.Errorf("got %v, want a RunningError", err)
	}
	if claim != nil {
		claim.Close()
	}
}

// TestFloodHidesNoAgent has others connect to the agent all the time, and keep what
// they have.
func TestFloodHidesNoAgent(t *testing.T) {
	testkit.NetworkNamespace(t)
	claim, err := Take("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Close()
	for range 2 {
		startPython(t, asNobody, `
import os, socket, sys
print("up", flush=True)
held, parent = [], os.getppid()
while os.getppid() == parent:
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    try:
        s.connect("\0ssmonitor")
        held = held[-500:] + [s]
    except OSError:
        pass
`)
	}
	for range 10 {
		if agent, err := Find(""); agent == nil || err != nil {
			t.Fatalf("got %+v, %v, want the agent", agent, err)
		}
	}
}
