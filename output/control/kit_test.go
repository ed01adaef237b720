package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
)

// fakeAgent records what it was asked to change.
type fakeAgent struct {
	mutex   sync.Mutex
	changes []string
	run     func(ctx context.Context) error // nil: succeeds
}

func (a *fakeAgent) NewClient(ctx context.Context, port uint16, name string) error {
	a.mutex.Lock()
	a.changes = append(a.changes, fmt.Sprintf("%d %s", port, name))
	a.mutex.Unlock()
	if a.run == nil {
		return nil
	}
	return a.run(ctx)
}

func (a *fakeAgent) State() string { return "this-state" }

func (a *fakeAgent) expectChanges(t *testing.T, want ...string) {
	t.Helper()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if fmt.Sprint(a.changes) != fmt.Sprint(want) {
		t.Errorf("the agent was asked for %v, want %v", a.changes, want)
	}
}

// log is a log that the test reads.
type log struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *log) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(line)
}

func (l *log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// serve serves the agent on a control socket until the test ends, in a directory that
// every user may enter.
func serve(t *testing.T, agent Agent) (path string, logged *log) {
	t.Helper()
	testkit.RequireRoot(t, "a client of the control socket")
	directory, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	path, logged = filepath.Join(directory, SocketName), new(log)
	listener, err := Listen(path, slog.New(slog.NewTextHandler(logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, listener, NewHandler(agent))
	return path, logged
}

func serveOn(t *testing.T, listener net.Listener, handler http.Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serving.Serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
}

// dial connects for the length of the test.
func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
		err = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

var errBroken = errors.New("broken")
