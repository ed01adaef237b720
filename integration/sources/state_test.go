package sources_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/integration/sources"
)

// settle waits until a change of a file can't leave its attributes the same, so
// that the attributes alone show it.
const settle = 300 * time.Millisecond

// TestChangesShowInAttributes changes files in such a way that only one of their
// attributes, or those of one of several files, are different.
func TestChangesShowInAttributes(t *testing.T) {
	rewrite := func(t *testing.T, path, content string) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0) // the same file, and no change of its directory
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(content); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		change func(t *testing.T, path string)
	}{
		{"the same size and the old time of modification", func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(t, path, `{"server_port": 2}`)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}},
		{"the mode", func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"the content, in place", func(t *testing.T, path string) { rewrite(t, path, `{"server_port": 2}`) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, directory := range []bool{false, true} {
				dir := t.TempDir()
				path := write(t, dir, "a.json", `{"server_port": 1}`)
				write(t, dir, "b.json", `{"server_port": 3}`)
				named := path
				if directory {
					named = filepath.Dir(path)
				}
				time.Sleep(settle)
				follower := sources.Follow(sources.Sources{Shadowsocks: []string{named}, Host: noHost})
				if _, err := follower.Load(); err != nil {
					t.Fatal(err)
				}
				if follower.Changed() {
					t.Error("changed before the change")
				}
				test.change(t, path)
				time.Sleep(settle)
				if !follower.Changed() {
					t.Errorf("named as a directory %t: the change is not seen", directory)
				}
			}
		})
	}
}

// TestChangesBesideAConfigurationShow leaves the files in the directory that name
// ports as they are: the clients of ShadowsocksR are in a file that is read with
// another one, and the server of a port of ss-manager ends.
func TestChangesBesideAConfigurationShow(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "user-config.json", `{"server_port": 8388, "obfs": "plain"}`)
	clients := write(t, dir, "mudb.json", `[{"port": 1, "user": "a"}]`)
	server := exec.Command("sleep", "infinity")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = server.Process.Kill()
			_ = server.Wait()
		}
	}
	t.Cleanup(end)
	write(t, dir, ".shadowsocks_3.conf", `{"server_port": 3}`)
	write(t, dir, ".shadowsocks_3.pid", fmt.Sprint(server.Process.Pid))
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{dir}, Host: noHost})
	for _, step := range []struct {
		name  string
		do    func()
		ports int
	}{
		{"clients, in place", func() {
			write(t, filepath.Dir(clients), "mudb.json", `[{"port": 1, "user": "a"}, {"port": 2, "user": "b"}]`)
		}, 3},
		{"a server that has ended", end, 2},
	} {
		time.Sleep(settle)
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
		if follower.Changed() {
			t.Errorf("%s: changed before the change", step.name)
		}
		step.do()
		time.Sleep(settle)
		if !follower.Changed() {
			t.Errorf("%s: the change is not seen", step.name)
		}
		if result, err := follower.Load(); err != nil || len(result.Ports) != step.ports {
			t.Errorf("%s: got %v, %v, want %d ports", step.name, result.Ports, err, step.ports)
		}
	}
}

// TestChangesOfADatabaseShow has a panel that keeps its database open: what it
// changes is in the write-ahead log alone.
func TestChangesOfADatabaseShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x-ui.db")
	panel, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = panel.Close() })
	execute := func(statements string) {
		t.Helper()
		if err := panel.Exec(statements); err != nil {
			t.Fatal(err)
		}
	}
	execute(`PRAGMA journal_mode = WAL;
		CREATE TABLE inbounds (id INTEGER, port INTEGER, protocol TEXT, remark TEXT, listen TEXT, settings TEXT, enable INTEGER);
		INSERT INTO inbounds VALUES (1, 1, 'shadowsocks', '', '', '{}', 1)`)
	time.Sleep(settle)
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{path}, Host: noHost})
	if _, err := follower.Load(); err != nil {
		t.Fatal(err)
	}
	if follower.Changed() {
		t.Error("changed before the change")
	}
	execute("UPDATE inbounds SET port = 2")
	time.Sleep(settle)
	if !follower.Changed() {
		t.Error("the change is not seen")
	}
	if result, err := follower.Load(); err != nil || len(result.Ports) != 1 || result.Ports[0].Number != 2 {
		t.Errorf("got %v, %v, want port 2", result.Ports, err)
	}
}
