package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
)

// fakeAgent records what it was asked to change.
type fakeAgent struct {
	mutex   sync.Mutex
	changes []string
	run     func(ctx context.Context) error // nil: succeeds
}

func (a *fakeAgent) HandOver(ctx context.Context, port uint16, name string) error {
	return a.change(ctx, fmt.Sprintf("%d %s", port, name))
}

func (a *fakeAgent) Forget(ctx context.Context, past usage.Past) error {
	return a.change(ctx, fmt.Sprintf("forget %+v", past))
}

func (a *fakeAgent) change(ctx context.Context, change string) error {
	a.mutex.Lock()
	a.changes = append(a.changes, change)
	a.mutex.Unlock()
	if a.run == nil {
		return nil
	}
	return a.run(ctx)
}

func (a *fakeAgent) LedgerIdentity() string { return "this-state" }

func (a *fakeAgent) expectChanges(t *testing.T, want ...string) {
	t.Helper()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if fmt.Sprint(a.changes) != fmt.Sprint(want) {
		t.Errorf("the agent was asked for %v, want %v", a.changes, want)
	}
}

// serve serves the agent on a control socket until the test ends, in a directory that
// every user may enter.
func serve(t *testing.T, agent Changes) (path string, logged *testkit.Log) {
	t.Helper()
	testkit.RequireRoot(t, "a client of the control socket")
	path, logged = filepath.Join(testkit.OpenDirectory(t), SocketName), new(testkit.Log)
	listener, err := Listen(path, slog.New(slog.NewTextHandler(logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	servingtest.ServeUntilEnd(t, listener, NewHandler(agent))
	return path, logged
}

// python is a program of another user, to which the path is an argument.
func python(t *testing.T, user, group, path, script string) *exec.Cmd {
	t.Helper()
	testkit.Require(t, "setpriv", "/usr/bin/python3")
	return exec.Command("setpriv", "--reuid="+user, "--regid="+group, "--clear-groups", "/usr/bin/python3", "-c", "import select, socket, sys\n"+script, path)
}

var errBroken = errors.New("broken")
