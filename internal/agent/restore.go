package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"ssmonitor/internal/health"
)

// runtimeDirectory is the runtime directory, if a file or directory of this agent is to be
// in it.
type runtimeDirectory struct {
	path    string // empty: none is
	created bool   // by this agent
}

func newRuntimeDirectory(directory string, files ...string) runtimeDirectory {
	for _, file := range files {
		if file != "" && filepath.Dir(file) == filepath.Clean(directory) {
			return runtimeDirectory{path: directory}
		}
	}
	return runtimeDirectory{}
}

// make creates the directory, which systemd does for the unit, unless it is there. If
// that is not permitted, writing to the directory reports it.
func (f *runtimeDirectory) make() error {
	if f.path == "" {
		return nil
	}
	if _, err := os.Stat(f.path); err == nil {
		return nil
	}
	err := os.MkdirAll(f.path, 0o755)
	f.created = f.created || err == nil
	if err != nil && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("creating the directory of the CSV file and the socket: %w", err)
	}
	return nil
}

// remove removes the directory if this agent has created it and no file is left in it.
func (f *runtimeDirectory) remove() {
	if f.created {
		_ = os.Remove(f.path) // fails if it is not empty
	}
}

// restorable is a listener whose file others may remove.
type restorable interface {
	net.Listener
	Restore() (restored bool, err error)
}

// servedSocket is a socket that the agent serves, and what has become of its file.
type servedSocket struct {
	restorable
	id health.ID // of its problem
}

func (a *agent) serveSocket(ctx context.Context, listener restorable, id health.ID, handler http.Handler) {
	a.served = append(a.served, &servedSocket{listener, id})
	a.serve(ctx, listener, handler)
}

// restoreSockets makes the sockets anew whose files others have removed or replaced,
// with their directory.
func (a *agent) restoreSockets() {
	_ = a.runtime.make() // what is written there reports the error
	for _, s := range a.served {
		restored, err := s.Restore()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: create its directory, or let systemd do so (systemctl restart ssmonitor)", err)
		}
		if a.board.Observe(s.id, err) == health.FaultUnchanged && restored {
			a.Log.Warn("the socket was removed by others, and is back", "socket", s.Addr())
		}
	}
}
