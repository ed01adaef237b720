package endtoend_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/integration/portlist"
	"ssmonitor/internal/testkit"
)

// TestSetupFollowsEverythingThatItReads changes each file that setup reads, in
// place or by a rename, while it follows them.
func TestSetupFollowsEverythingThatItReads(t *testing.T) {
	require(t, "sqlite3")
	t.Parallel()
	server := newServer(t)
	in := func(name string) string { return filepath.Join(server.directory, "configurations", name) }
	for _, directory := range []string{in("many"), in("ssr")} {
		testkit.MakeDirectory(t, directory)
	}
	testkit.ReplaceFile(t, in("single.json"), `{"server_port": 20000}`)
	testkit.ReplaceFile(t, in("ssr/user-config.json"), `{"server_port": 20001, "obfs": "plain"}`)
	testkit.ReplaceFile(t, in("client.json"), `{"server": "203.0.113.7", "server_port": 20002, "local_port": 1080}`)
	database := openPanel(t, in("x-ui.db"))
	database(`INSERT INTO inbounds VALUES (1, 20003, 'shadowsocks', 'panel', '', '{}', 1)`)
	settings := in("config.yaml")
	testkit.ReplaceFile(t, settings, "port: [20004]\n")

	setup := start(t, server.ssmonitor(nil, "setup", "--follow", "--config", settings, "--list", server.list,
		"--shadowsocks", in("single.json"), "--shadowsocks", in("many"), "--shadowsocks", in("ssr/user-config.json"),
		"--shadowsocks", in("x-ui.db"), "--server-config", in("client.json")))
	server.waitListing(t, 20000, 20001, 20002, 20003, 20004)
	for _, step := range []struct {
		name   string
		change func()
		want   []int
	}{
		{"a file, by a rename", func() { testkit.ReplaceFile(t, in("single.json"), `{"server_port": 20100}`) }, []int{20001, 20002, 20003, 20004, 20100}},
		{"a file, in place", func() { testkit.WriteFile(t, in("single.json"), `{"server_port": 20101}`) }, []int{20001, 20002, 20003, 20004, 20101}},
		{"a file in a directory", func() { testkit.ReplaceFile(t, in("many/a.json"), `{"server_port": 20102}`) }, []int{20001, 20002, 20003, 20004, 20101, 20102}},
		{"that file, in place", func() { testkit.WriteFile(t, in("many/a.json"), `{"server_port": 20103}`) }, []int{20001, 20002, 20003, 20004, 20101, 20103}},
		{"a removed file", func() { remove(t, in("many/a.json")) }, []int{20001, 20002, 20003, 20004, 20101}},
		{"mudb.json", func() { testkit.ReplaceFile(t, in("ssr/mudb.json"), `[{"port": 20104, "user": "a"}]`) }, []int{20002, 20003, 20004, 20101, 20104}},
		{"a server's file that looks like a client's", func() {
			testkit.WriteFile(t, in("client.json"), `{"server": "203.0.113.7", "server_port": 20105, "local_port": 1080}`)
		}, []int{20003, 20004, 20101, 20104, 20105}},
		{"a database that its panel keeps open", func() { database(`UPDATE inbounds SET port = 20106`) }, []int{20004, 20101, 20104, 20105, 20106}},
		{"the settings", func() { testkit.WriteFile(t, settings, "port: [20107]\n") }, []int{20101, 20104, 20105, 20106, 20107}},
		{"the settings, which name another file", func() {
			testkit.ReplaceFile(t, in("later.json"), `{"server_port": 20108}`)
			testkit.ReplaceFile(t, settings, "server-config: ["+in("later.json")+"]\n")
		}, []int{20101, 20104, 20105, 20106}}, // --server-config on the command line takes precedence
		{"the settings again", func() { testkit.ReplaceFile(t, settings, "port: [20109]\n") }, []int{20101, 20104, 20105, 20106, 20109}},
	} {
		step.change()
		if !t.Run(step.name, func(t *testing.T) { server.waitListing(t, step.want...) }) {
			t.FailNow()
		}
	}

	// A mistake is logged once, keeps the ports, and is forgotten when corrected.
	testkit.WriteFile(t, in("single.json"), `{`)
	setup.waitSaying(t, in("single.json"))
	testkit.WriteFile(t, in("single.json"), `{ `)
	server.waitListing(t, 20101, 20104, 20105, 20106, 20109)
	testkit.WriteFile(t, in("single.json"), `{"server_port": 20110}`)
	server.waitListing(t, 20104, 20105, 20106, 20109, 20110)
	if errors := strings.Count(setup.stderr.String(), "level=ERROR"); errors != 1 {
		t.Errorf("one mistake was logged %d times", errors)
	}
	setup.signal(syscall.SIGTERM)
	if status := setup.wait(t); status != 0 {
		t.Errorf("setup --follow ended with status %d", status)
	}
}

// TestSetupThatFollowsTriesAgain has somebody else's table in the way of new
// counters, after the list is written. It is ready before that, as systemd sees it.
func TestSetupThatFollowsTriesAgain(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	socket := server.listenAsSystemd(t)
	configuration := filepath.Join(server.directory, "config.json")
	testkit.ReplaceFile(t, configuration, `{"server_port": 20000}`)
	command := server.ssmonitor(nil, "setup", "--follow", "--list", server.list, "--shadowsocks", configuration)
	command.Env = append(command.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String())
	setup := start(t, command)
	socket.wait(t, "READY=1")
	setup.signal(syscall.SIGHUP) // as systemctl reload does
	socket.wait(t, "STATUS=1 port")
	server.nft(t, "delete table inet ssmonitor\nadd table inet ssmonitor\n")
	testkit.ReplaceFile(t, configuration, `{"server_port": 20001}`)
	setup.waitSaying(t, "setup failed")
	server.waitListing(t, 20001)
	server.nft(t, "delete table inet ssmonitor\n")
	eventually(t, func() error {
		if ruleset := server.ruleset(t); !strings.Contains(ruleset, "tcp . 20001") {
			return fmt.Errorf("port 20001 is not counted:\n%s", ruleset)
		}
		return nil
	})
	setup.waitSaying(t, "setup succeeds again")
	setup.signal(syscall.SIGTERM)
	setup.wait(t)
}

// TestSetupLogsThatNoPortIsLeft removes the only configuration.
func TestSetupLogsThatNoPortIsLeft(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	many := filepath.Join(server.directory, "many")
	testkit.MakeDirectory(t, many)
	testkit.ReplaceFile(t, filepath.Join(many, "a.json"), `{"server_port": 20000}`)
	setup := start(t, server.ssmonitor(nil, "setup", "--follow", "--no-search", "--config", "none",
		"--list", server.list, "--shadowsocks", many))
	server.waitListing(t, 20000)
	remove(t, filepath.Join(many, "a.json"))
	setup.waitSaying(t, "no port found; the ports in force stay")
	server.waitListing(t, 20000)
	testkit.ReplaceFile(t, filepath.Join(many, "a.json"), `{"server_port": 20001}`)
	server.waitListing(t, 20001)
}

// waitListing waits until the list of ports has these ports and no others.
func (p product) waitListing(t *testing.T, ports ...int) {
	t.Helper()
	eventually(t, func() error {
		listed, err := portlist.Read(p.list)
		if err != nil {
			return err
		}
		var got []int
		for _, port := range listed {
			got = append(got, int(port.Number))
		}
		slices.Sort(got)
		if !slices.Equal(got, ports) {
			return fmt.Errorf("the list has the ports %v, want %v", got, ports)
		}
		return nil
	})
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// openPanel creates a database as 3x-ui has one, with a write-ahead log, and keeps
// it open. The returned function changes it, and returns once that is committed.
func openPanel(t *testing.T, path string) (execute func(statement string)) {
	t.Helper()
	reader, writer := io.Pipe()
	command := exec.Command("sqlite3", path)
	command.Stdin = reader
	panel := start(t, command)
	t.Cleanup(func() { _ = writer.Close() })
	count := 0
	execute = func(statement string) {
		t.Helper()
		count++
		answer := fmt.Sprintf("done with %d\n", count)
		if _, err := fmt.Fprintf(writer, "%s;\nSELECT 'done with %d';\n", statement, count); err != nil {
			t.Fatal(err)
		}
		panel.waitShowing(t, answer)
	}
	execute(`PRAGMA journal_mode = WAL`)
	execute(`CREATE TABLE inbounds (id INTEGER, port INTEGER, protocol TEXT, remark TEXT, listen TEXT, settings TEXT, enable INTEGER)`)
	return execute
}
