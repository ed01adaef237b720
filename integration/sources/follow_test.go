package sources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
)

// step is one event in the life of a source: what happens, whether that shows
// as a change, and what Load says then.
type step struct {
	what   string
	do     func()
	ports  int
	broken bool
}

func follow(t *testing.T, follower *sources.Follower, steps []step) {
	t.Helper()
	for i, step := range steps {
		step.do()
		if i > 0 && !follower.Changed() {
			t.Fatalf("%s: nothing has changed", step.what)
		}
		result, err := follower.Load()
		if broken := err != nil; broken != step.broken {
			t.Fatalf("%s: %v, want an error: %v", step.what, err, step.broken)
		}
		if len(result.Ports) != step.ports {
			t.Fatalf("%s: %v, want %d ports", step.what, result.Ports, step.ports)
		}
		if follower.Changed() {
			t.Fatalf("%s: changed again after Load", step.what)
		}
	}
}

func TestFollowTheListOfPorts(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "ports")
	follow(t, sources.Follow(sources.Sources{List: list}), []step{
		{"not written yet", func() {}, 0, true},
		{"written", func() { write(t, dir, "ports", "1\n2\n") }, 2, false},
		{"broken", func() { write(t, dir, "ports", "1\n2x\n") }, 0, true},
		{"repaired", func() { write(t, dir, "ports", "1\n2\n3\n") }, 3, false},
		{"replaced", func() {
			if err := portlist.Write(list, []portlist.Entry{{Port: accounting.Port{Number: 4, Protocols: both}}}); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"touched", func() {
			if err := os.Chtimes(list, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"written twice at once", func() {
			write(t, dir, "ports", "1\n")
			write(t, dir, "ports", "2\n3\n")
		}, 2, false},
		{"removed: its ports stay", func() { remove(t, list) }, 2, true},
	})
}

func TestFollowADirectoryOfConfigurations(t *testing.T) {
	dir := t.TempDir()
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{dir}, Host: noHost})
	follow(t, follower, []step{
		{"empty", func() {}, 0, false},
		{"a file added", func() { write(t, dir, "a.json", `{"server_port": 1}`) }, 1, false},
		{"another added", func() { write(t, dir, ".shadowsocks_2.conf", `{"server_port": 2}`) }, 2, false},
		{"one written in place", func() { write(t, dir, "a.json", `{"server_port": [1, 3, 4]}`) }, 4, false},
		{"one broken in place", func() { write(t, dir, "a.json", `{`) }, 0, true},
		{"one repaired in place", func() { write(t, dir, "a.json", `{"server_port": 1}`) }, 2, false},
		{"one removed", func() { remove(t, filepath.Join(dir, "a.json")) }, 1, false},
	})
}

// Files are read at the moment of a change, and changed again before the
// kernel's clock for files goes on: their attributes stay the same.
func TestFollowSeesTheSecondOfTwoChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "ports", "1\n")
	follower := sources.Follow(sources.Sources{List: filepath.Join(dir, "ports")})
	for i := range 1000 {
		content := []string{"1@172.17.0.2\n", "2@172.17.0.2\n", "2@172.17.0.3\n"}[i%3]
		write(t, dir, "ports", content)
		if i > 0 && !follower.Changed() {
			t.Fatalf("change %d was not seen", i)
		}
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFollowALinkedConfiguration(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(write(t, dir, "a.json", `{"server_port": 1}`), link); err != nil {
		t.Fatal(err)
	}
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{link}, Host: noHost})
	follow(t, follower, []step{
		{"linked", func() {}, 1, false},
		{"linked elsewhere", func() {
			remove(t, link)
			if err := os.Symlink(write(t, dir, "b.json", `{"server_port": [1, 2]}`), link); err != nil {
				t.Fatal(err)
			}
		}, 2, false},
		{"dangling", func() { remove(t, filepath.Join(dir, "b.json")) }, 0, true},
	})
}

// What comes beside a configuration is followed too.
func TestFollowTheCompanionsOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	config := write(t, dir, "user-config.json", `{"server_port": 8388, "obfs": "plain"}`)
	for name, from := range map[string]sources.Sources{
		"file":      {Shadowsocks: []string{config}, Host: noHost},
		"directory": {Shadowsocks: []string{dir}, Host: noHost},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, sources.Follow(from), []step{
				{"one user", func() {}, 1, false},
				{"two clients", func() { write(t, dir, "mudb.json", `[{"port": 1, "user": "a"}, {"port": 2, "user": "b"}]`) }, 2, false},
				{"three clients", func() {
					write(t, dir, "mudb.json", `[{"port": 1, "user": "a"}, {"port": 2, "user": "b"}, {"port": 3}]`)
				}, 3, false},
				{"gone", func() { remove(t, filepath.Join(dir, "mudb.json")) }, 1, false},
			})
		})
	}
}

func TestFollowTheUsualPlaces(t *testing.T) {
	root := t.TempDir()
	follow(t, sources.Follow(sources.Sources{SearchRoot: root, Host: noHost}), []step{
		{"nothing there", func() {}, 0, false},
		{"a directory", func() { write(t, root, "etc/shadowsocks-libev/readme", "") }, 0, false},
		{"a file in it", func() { write(t, root, "etc/shadowsocks-libev/config.json", `{"server_port": 1}`) }, 1, false},
		{"in place", func() { write(t, root, "etc/shadowsocks-libev/config.json", `{"port_password": {"1": "", "2": ""}}`) }, 2, false},
		{"a file of a fixed name", func() { write(t, root, "etc/mihomo/config.yaml", "listeners: [{type: shadowsocks, port: 3}]") }, 3, false},
		{"in multi-user mode", func() {
			write(t, root, "usr/local/shadowsocksr/user-config.json", `{"server_port": 4, "obfs": "plain"}`)
		}, 4, false},
		{"with clients", func() {
			write(t, root, "usr/local/shadowsocksr/mudb.json", `[{"port": 5, "user": "a"}, {"port": 6, "user": "b"}]`)
		}, 5, false},
		{"removed", func() { remove(t, filepath.Join(root, "etc/shadowsocks-libev/config.json")) }, 3, false},
	})
}

// The content of such a file is not read, so a change that may be followed by
// another one at once is reported twice.
func TestFollowWatchedPaths(t *testing.T) {
	dir := t.TempDir()
	settings := filepath.Join(dir, "config.yaml")
	follower := sources.Follow(sources.Sources{Watched: []string{settings}})
	load := func() {
		t.Helper()
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if follower.Changed() {
		t.Error("a missing file has changed")
	}
	write(t, dir, "config.yaml", "port: [1]")
	load()
	write(t, dir, "config.yaml", "port: [2]")
	if !follower.Changed() {
		t.Error("a change at once after Load is not noticed")
	}
	// Kernels with times of high resolution show it in the attributes as well. It is
	// reported again, however long after the Load.
	var began time.Time
	for time.Since(began) > 50*time.Millisecond { // the Load follows soon, on a busy machine too
		began = time.Now()
		write(t, dir, "config.yaml", "port: [3]")
		load()
	}
	time.Sleep(200 * time.Millisecond)
	if !follower.Changed() {
		t.Error("a change that may hide another one is not reported again")
	}
	load()
	if follower.Changed() {
		t.Error("still changed")
	}
}

// The environment of 3x-ui says whether its database is still the one in use.
func TestFollowTheEnvironmentOfAPanel(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/x-ui/x-ui.db.sql", `CREATE TABLE inbounds (id INTEGER PRIMARY KEY, remark, enable, listen, port, protocol, settings);
		INSERT INTO inbounds VALUES (1, 'alice', 1, '', 20001, 'shadowsocks', '{}')`)
	makeDatabase(t, filepath.Join(root, "etc/x-ui/x-ui.db.sql"))
	named := sources.Sources{Shadowsocks: []string{filepath.Join(root, "etc/x-ui/x-ui.db")}, Host: noHost}
	for name, from := range map[string]sources.Sources{"named": named, "found": {SearchRoot: root, Host: noHost}} {
		t.Run(name, func(t *testing.T) {
			follower := sources.Follow(from)
			for _, step := range []struct {
				environment string
				noted       bool
			}{
				{"XUI_DB_TYPE=sqlite\n", false},
				{"XUI_DB_TYPE=postgres\nXUI_DB_DSN=QZQZQ\n", true},
				{"#XUI_DB_TYPE=postgres\n", false},
				{"[Service]\nEnvironment=\"XUI_DB_TYPE=PG\" \"XUI_DB_DSN=QZQZQ\"\n", true},
				{"export XUI_DB_FOLDER='/srv/x-ui'\n", true},
				{"XUI_DB_FOLDER=/etc/x-ui/\n", false},
				{"XUI_DB_TYPE=postgres\nXUI_DB_TYPE=sqlite\n", false},
				{"", false},
			} {
				write(t, root, "etc/default/x-ui", step.environment)
				if !follower.Changed() && step.noted {
					t.Errorf("%q: not noticed", step.environment)
				}
				result, err := follower.Load()
				if err != nil || len(result.Ports) != 1 {
					t.Errorf("%q: got %v: %v, want one port", step.environment, result.Ports, err)
				}
				if noted := strings.Contains(fmt.Sprint(result.Notes), "the ports may be stale"); noted != step.noted || len(result.Notes) > 1 {
					t.Errorf("%q: the notes are %v", step.environment, result.Notes)
				}
			}
		})
	}
}
