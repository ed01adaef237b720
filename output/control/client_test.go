package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
)

func TestClientGetsTheAgentsAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"done", nil, 0, ""},
		{"refused", &Error{http.StatusConflict, "port 20000 belongs to dave"}, http.StatusConflict, "port 20000 belongs to dave"},
		{"failed", fmt.Errorf("saving: %w", errBroken), http.StatusServiceUnavailable, "saving: broken"},
		{"forged", &Error{http.StatusServiceUnavailable, "\x1b[2Jdone\n"}, http.StatusServiceUnavailable, `\x1b[2Jdone\n`},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, _ := serve(t, &fakeAgent{run: func(context.Context) error { return test.err }})
			err := NewClient(path, Directory{Identity: "this-state"}).HandOver(t.Context(), 20000, "dave")
			refused, isRefused := errors.AsType[*Error](err)
			switch {
			case test.want == "" && err != nil, test.want != "" && !isRefused:
				t.Errorf("got %v", err)
			case isRefused && (refused.Status != test.status || err.Error() != test.want):
				t.Errorf("got %d %v, want %d %s", refused.Status, err, test.status, test.want)
			}
		})
	}
}

func TestClientNamesTheRemedy(t *testing.T) {
	path, _ := serve(t, &fakeAgent{run: func(context.Context) error { return ErrEnding }})
	other, _ := serve(t, new(fakeAgent))
	missing := filepath.Join(filepath.Dir(path), "missing.sock")
	foreign := filepath.Join(t.TempDir(), "foreign.sock")
	listener, err := net.Listen("unix", foreign)
	if err != nil {
		t.Fatal(err)
	}
	servingtest.ServeUntilEnd(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("foreign")) }))
	for _, test := range []struct {
		name string
		err  error
		is   error
		want string
	}{
		{"no socket", NewClient(missing, Directory{}).HandOver(t.Context(), 20000, "dave"), ErrNotListening, "no agent listens on " + missing},
		{"an agent that ends", NewClient(path, Directory{}).HandOver(t.Context(), 20000, "dave"), ErrNotListening, "any more"},
		{"another state", NewClient(other, Directory{Identity: "x"}).HandOver(t.Context(), 20000, "dave"), nil, "name the right socket with --socket"},
		{"a later request", NewClient(other, Directory{}).post(t.Context(), "/v1/later", nil), nil, "restart it"},
		{"another program", NewClient(foreign, Directory{}).HandOver(t.Context(), 20000, "dave"), errStranger, foreign + `: what answers "200 OK" there is not ssmonitor's agent: end that process`},
	} {
		if test.is != nil && !errors.Is(test.err, test.is) || test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, test.err, test.want)
		}
	}
}

// TestClientThatGetsNoAnswer can't know whether the change was made.
func TestClientThatGetsNoAnswer(t *testing.T) {
	ctx, expire := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	path, _ := serve(t, &fakeAgent{run: func(agents context.Context) error {
		expire(context.DeadlineExceeded) // as a timeout does, but not before the agent is asked
		<-agents.Done()
		close(ended)
		return agents.Err()
	}})
	err := NewClient(path, Directory{}).HandOver(ctx, 20000, "dave")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "client list") {
		t.Errorf("got %v", err)
	}
	<-ended // the agent learns that nobody waits any more

	hangUp := filepath.Join(filepath.Dir(path), "hang-up.sock")
	listener, err := net.Listen("unix", hangUp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	if err := NewClient(hangUp, Directory{}).HandOver(t.Context(), 20000, "dave"); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("an agent that hangs up: got %v", err)
	}
}

// TestClientSendsNothingToAStranger has nobody listen on the socket's path.
func TestClientSendsNothingToAStranger(t *testing.T) {
	testkit.RequireRoot(t, "another user")
	directory := testkit.OpenDirectory(t)
	if err := os.Chmod(directory, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, SocketName)
	stranger := python(t, "65534", "65534", path, `
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("listening", flush=True)
c, _ = s.accept()
print(len(c.recv(100)), flush=True)
c, _ = s.accept()
c.recv(4096)
c.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
`)
	stdout, err := stranger.StdoutPipe()
	if err := errors.Join(err, stranger.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("the stranger does not listen")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = NewClient(path, Directory{Owner: 1234}).HandOver(ctx, 20000, "dave")
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d of user 65534", stranger.Process.Pid)) {
		t.Errorf("got %v", err)
	}
	if !lines.Scan() || lines.Text() != "0" {
		t.Errorf("the stranger got %s bytes", lines.Text())
	}
	if err := NewClient(path, Directory{Owner: 65534}).HandOver(ctx, 20000, "dave"); err != nil {
		t.Errorf("the owner of the state is refused: %v", err)
	}
}
