package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
	"ssmonitor/output/control"
)

// runtimePlace is a place whose agent has a runtime directory.
type runtimePlace struct {
	*place
	runtime string
}

func newRuntimePlace(t *testing.T) *runtimePlace {
	t.Helper()
	p := &runtimePlace{place: newPlace(t)}
	p.runtime = filepath.Join(p.directory, "run")
	t.Setenv("RUNTIME_DIRECTORY", p.runtime)
	p.setup()
	return p
}

// reachable waits until the agent answers on both sockets and writes its CSV file.
func (p *runtimePlace) reachable() {
	p.t.Helper()
	readers := filepath.Join(p.runtime, settings.SocketName)
	changes := control.NewClient(control.SocketPath(readers), control.Directory{})
	testkit.Eventually(p.t, 20*time.Second, func() error {
		_, readErr := api.NewClient(readers).Report(p.t.Context())
		_, csvErr := os.Stat(filepath.Join(p.runtime, settings.CSVName))
		changeErr := changes.HandOver(p.t.Context(), 30000, "alice") // a port that nobody has
		if errors.As(changeErr, new(*control.Error)) {
			changeErr = nil // it answers
		}
		return errors.Join(readErr, changeErr, csvErr)
	})
}

// TestAgentRestoresWhatOthersRemove removes the agent's files one by one and together,
// with the directory and without.
func TestAgentRestoresWhatOthersRemove(t *testing.T) {
	p := newRuntimePlace(t)
	agent := p.start("--list", p.list)
	in := func(name string) string { return filepath.Join(p.runtime, name) }
	back := 0
	remove := func(names ...string) (err error) {
		for _, name := range names {
			err = errors.Join(err, os.Remove(in(name)))
		}
		return err
	}
	for _, harm := range []struct {
		sockets int
		do      func() error
	}{
		{1, func() error { return remove(settings.SocketName) }},
		{1, func() error { return remove(control.SocketName) }},
		{2, func() error { return remove(settings.SocketName, control.SocketName, settings.CSVName) }},
		{2, func() error { return os.Rename(p.runtime, p.runtime+".gone") }},
	} {
		p.reachable()
		if err := harm.do(); err != nil {
			t.Fatal(err)
		}
		back += harm.sockets
		agent.logs("the socket was removed by others, and is back", back)
	}
	p.reachable()
	if info, err := os.Lstat(in(control.SocketName)); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the mode of the control socket is %s, %v", info.Mode(), err)
	}
	if said := strings.Count(agent.log.String(), "level=ERROR"); said > 0 {
		t.Errorf("the agent logs errors:\n%s", agent.log.String())
	}
	agent.stop()
	if _, err := os.Stat(p.runtime); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the runtime directory is left: %v", err)
	}
}

// TestAgentWaitsForItsSocketsPlace has another process listen at the path: the agent
// reports that once, and is back when the other has ended.
func TestAgentWaitsForItsSocketsPlace(t *testing.T) {
	p := newRuntimePlace(t)
	agent := p.start("--list", p.list)
	path := filepath.Join(p.runtime, settings.SocketName)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	var other net.Listener
	testkit.Eventually(t, 10*time.Second, func() (err error) {
		if other, err = net.Listen("unix", path); err != nil {
			_ = os.Remove(path) // the agent was faster
		}
		return err
	})
	agent.logs("the socket is gone, and nobody can connect", 1)
	mine, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // ticks, of which each tries
		_, _ = other.Accept()
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(mine, now) {
		t.Errorf("the other's socket was replaced: %v", err)
	}
	_ = other.Close()
	agent.logs("the socket is back", 1)
	agent.logs("the socket is gone, and nobody can connect", 1)
	if _, err := api.NewClient(path).Report(t.Context()); err != nil {
		t.Error(err)
	}
	agent.stop()
}

// TestAgentLeavesNoEmptyDirectory has an agent without a file in the runtime directory,
// one that creates it, and one that finds it.
func TestAgentLeavesNoEmptyDirectory(t *testing.T) {
	p := newRuntimePlace(t)
	exists := func(want bool, when string) {
		t.Helper()
		if _, err := os.Stat(p.runtime); (err == nil) != want {
			t.Errorf("%s: the directory exists: %t, want %t", when, err == nil, want)
		}
	}
	agent := p.start("--list", p.list, "--csv", "", "--socket", p.socket)
	exists(false, "nothing is in it")
	agent.stop()
	agent = p.start("--list", p.list, "--csv", "", "--socket", "", "--textfile", filepath.Join(p.runtime, "metrics.prom"))
	exists(true, "the textfile is in it")
	agent.stop()
	exists(false, "after that")
	if status, _, stderr := call(t, "run", "--list", p.config, "--state", p.state); status != exitUsage {
		t.Fatalf("got status %d and %s", status, stderr)
	}
	exists(false, "after a start that failed")
	if err := os.Mkdir(p.runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	agent = p.start("--list", p.list)
	agent.stop()
	exists(true, "somebody else created it")
}

// TestRemovedDirectoriesOfFilesAreNotLost removes the directories of the CSV file and
// of the metrics, and lets somebody create them again.
func TestRemovedDirectoriesOfFilesAreNotLost(t *testing.T) {
	p := newRuntimePlace(t)
	csv, textfile := filepath.Join(p.directory, "c"), filepath.Join(p.directory, "m")
	for _, directory := range []string{csv, textfile} {
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	agent := p.start("--list", p.list, "--csv", filepath.Join(csv, "csv"), "--textfile", filepath.Join(textfile, "prom"))
	if err := errors.Join(os.RemoveAll(csv), os.RemoveAll(textfile)); err != nil {
		t.Fatal(err)
	}
	agent.logs("level=ERROR", 2)
	if err := errors.Join(os.Mkdir(csv, 0o755), os.Mkdir(textfile, 0o755)); err != nil {
		t.Fatal(err)
	}
	agent.logs("written again", 2)
	agent.stop()
}
