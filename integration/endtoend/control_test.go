package endtoend_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (p product) controlSocket() string { return filepath.Join(p.runtimeDirectory(), "control.sock") }

// connectAs connects to a socket as another user, without sending anything, and returns
// what it receives, or the error.
func (p product) connectAs(t *testing.T, prefix []string, socket string) string {
	t.Helper()
	words := append(slices.Clone(prefix), "/usr/bin/python3", "-c", `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
try:
    s.connect(sys.argv[1])
    while data := s.recv(4096):
        sys.stdout.buffer.write(data)
except OSError as e:
    print(e)
`, socket)
	return p.run(t, words[0], words[1:]...)
}

// TestOnlyRootChangesTheAgent runs the agent as its unit does: as a user of its own
// that has one capability. Neither this user nor the group for readers may change
// anything, whatever the mode of the file.
func TestOnlyRootChangesTheAgent(t *testing.T) {
	require(t, "setpriv", "curl", "/usr/bin/python3")
	t.Parallel()
	server := newServer(t)
	server.giveToNobody(t)
	agent := agent{server, start(t, server.ssmonitor(asNobody(",+net_admin"), "run", "--interval", "100ms", "--port", "20000=alice"))}
	agent.waitServing(t, 20000)
	info, err := os.Lstat(server.controlSocket())
	if err != nil || info.Mode() != fs.ModeSocket|0o600 || info.Sys().(*syscall.Stat_t).Uid != nobody {
		t.Errorf("the control socket is %+v, %v", info, err)
	}
	member := asUser(nobody) // of the group of the socket for readers
	if got := server.connectAs(t, member, server.controlSocket()); !strings.Contains(got, "Permission denied") {
		t.Errorf("a reader gets %q", got)
	}
	expectRefused := func(who string, prefix []string, user int) {
		t.Helper()
		got := server.connectAs(t, prefix, server.controlSocket())
		if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, fmt.Sprintf(`{"error":"user %d may not change anything here: run the command as root`, user)) {
			t.Errorf("%s gets %q", who, got)
		}
	}
	expectRefused("the agent's own user", asNobody(""), nobody)
	if err := os.Chmod(server.controlSocket(), 0o666); err != nil {
		t.Fatal(err)
	}
	expectRefused("a reader", member, readersUser)

	// The socket for readers changes nothing, not even for root.
	code := server.run(t, "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--unix-socket", server.socket(),
		"--data", `{"port": 20000, "name": "dave"}`, "http://ssmonitor/v1/clients/new")
	if code != "404" {
		t.Errorf("the socket for readers answers %s, want 404", code)
	}
	if list := server.succeed(t, "client", "list"); strings.Contains(list, "dave") {
		t.Errorf("a port belongs to dave:\n%s", list)
	}
	server.succeed(t, "client", "new", "20000", "dave")
	agent.waitNamed(t, "dave")
	agent.stop(t)
	if _, err := os.Lstat(server.controlSocket()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the control socket is still there: %v", err)
	}
}

// TestSlowRequestsDoNotDelayTheAgent holds more connections than the agent serves, each
// with half a request.
func TestSlowRequestsDoNotDelayTheAgent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000=alice")
	hold := func() {
		conn, err := net.Dial("unix", server.controlSocket())
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			_, err = io.WriteString(conn, "POST /v1/clients/new HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 70 {
		hold()
	}
	began := time.Now()
	agent.waitIntervals(t, 10)
	if took := time.Since(began); took > patience {
		t.Errorf("ten intervals take %s", took)
	}
	server.succeed(t, "client", "new", "20000", "dave") // after the slow ones have been cut off
	for range 3 {
		hold()
	}
	began = time.Now()
	agent.stop(t)
	if took := time.Since(began); took > patience {
		t.Errorf("the agent's end takes %s", took)
	}
}

// TestControlSocketOfAKilledAgent is replaced by the next one.
func TestControlSocketOfAKilledAgent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	run := func() agent {
		agent := server.startAgent(t, "--port", "20000=alice")
		agent.waitSaying(t, "counting")
		return agent
	}
	agent := run()
	agent.kill()
	if _, err := os.Lstat(server.controlSocket()); err != nil {
		t.Fatal(err)
	}
	server.succeed(t, "client", "new", "20000", "dave") // without an agent
	agent = run()
	server.succeed(t, "client", "new", "20000", "erin")
	agent.waitSaying(t, "client=erin")
	agent.stop(t)
}
