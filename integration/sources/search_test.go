package sources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
)

func searchIn(root string) sources.Sources {
	return sources.Sources{
		Ports:      []accounting.Port{{Number: 1, Protocols: both}},
		SearchRoot: root,
		Earlier:    filepath.Join(root, "ports"),
		Host:       noHost,
	}
}

// setup loads the sources and writes the list, as setup does.
func setup(t *testing.T, from sources.Sources) (ports, notes string) {
	t.Helper()
	result, err := sources.Follow(from).Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := portlist.Write(from.Earlier, result.Entries); err != nil {
		t.Fatal(err)
	}
	return strings.Join(specs(result.Ports), " "), fmt.Sprint(result.Notes)
}

// A file that the search can't read keeps the ports that it had, until it is
// gone or says that it has none.
func TestSearchKeepsThePortsOfAFileThatBroke(t *testing.T) {
	root := t.TempDir()
	const name = "etc/shadowsocks-libev/config.json"
	from := searchIn(root)
	for _, step := range []struct {
		name    string
		do      func()
		ports   string
		noteHas string
	}{
		{"nothing yet", func() {}, "1", "[]"},
		{"broken from the first", func() { write(t, root, name, `{"server_port": 8388`) }, "1", "config.json: line 1"},
		{"repaired", func() { write(t, root, name, `{"server_port": 8388, "mode": "tcp_only", "remarks": "alice"}`) }, "1 8388/tcp=alice", "[]"},
		{"broken", func() { write(t, root, name, `{"server_port": `) }, "1 8388/tcp=alice", "config.json: line 1, column 17: want JSON"},
		{"broken still", func() {}, "1 8388/tcp=alice", "the ports that it had stay counted: 1"},
		{"empty", func() { write(t, root, name, "") }, "1 8388/tcp=alice", "empty"},
		{"another format", func() { write(t, root, name, "server_port: 8388\n") }, "1 8388/tcp=alice", "YAML"},
		{"an address that is not there", func() { write(t, root, name, `{"server": "198.51.100.1", "server_port": 8388}`) }, "1 8388/tcp=alice", "not an address of this host"},
		{"another port", func() { write(t, root, name, `{"server_port": [8389, 8390]}`) }, "1 8389 8390", "[]"},
		{"a client's", func() { write(t, root, name, `{"locals": [{}], "server": "x", "server_port": 8389}`) }, "1", "client"},
		{"a server's again", func() { write(t, root, name, `{"server_port": 8391}`) }, "1 8391", "[]"},
		{"without ports", func() { write(t, root, name, `{"server": "::"}`) }, "1", "no port"},
		{"a server's once more", func() { write(t, root, name, `{"server_port": 8391}`) }, "1 8391", "[]"},
		{"gone", func() { remove(t, filepath.Join(root, name)) }, "1", "[]"},
	} {
		step.do()
		ports, notes := setup(t, from)
		if ports != step.ports || !strings.Contains(notes, step.noteHas) {
			t.Fatalf("%s: got ports %q and notes %s, want %q and %q", step.name, ports, notes, step.ports, step.noteHas)
		}
	}
}

// A path that the list has to quote is longer there than a name may be.
func TestSearchKeepsThePortsOfAFileWithALongName(t *testing.T) {
	for _, file := range []string{strings.Repeat("a", 200), strings.Repeat("\u202e", 60), "\"quoted\"", " a\nb "} {
		root := t.TempDir()
		name := "etc/shadowsocks-libev/" + file + ".json"
		write(t, root, name, `{"server_port": 8388}`)
		from := searchIn(root)
		for _, content := range []string{`{"server_port": 8388}`, `{`, `{`} {
			write(t, root, name, content)
			if ports, notes := setup(t, from); ports != "1 8388" {
				t.Errorf("file %q, %s: got %s, %s", file, content, ports, notes)
			}
		}
	}
}

// A place below which nothing can be looked up hides its files: what they had
// stays, until they are known to be gone.
func TestSearchKeepsThePortsOfAHiddenFile(t *testing.T) {
	root := t.TempDir()
	const name = "etc/shadowsocks-libev/config.json"
	directory := filepath.Dir(filepath.Join(root, name))
	from := searchIn(root)
	for _, step := range []struct {
		name    string
		do      func()
		ports   string
		noteHas string
	}{
		{"readable", func() { write(t, root, name, `{"server_port": 8388}`) }, "1 8388", "[]"},
		{"a file in place of the directory", func() {
			if err := os.RemoveAll(directory); err != nil {
				t.Fatal(err)
			}
			write(t, root, filepath.Dir(name), "")
		}, "1 8388", "the ports that it had stay counted: 1"},
		{"gone", func() { remove(t, directory) }, "1", "[]"},
	} {
		step.do()
		ports, notes := setup(t, from)
		if ports != step.ports || !strings.Contains(notes, step.noteHas) {
			t.Fatalf("%s: got ports %q and notes %s, want %q and %q", step.name, ports, notes, step.ports, step.noteHas)
		}
	}
}

// Both files of a port keep it, and each only its own.
func TestSearchKeepsAPortOfTwoFiles(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	write(t, root, "etc/shadowsocks/a.json", `{"server_port": [10, 11]}`)
	write(t, root, "etc/shadowsocks/b.json", `{"server_port": [11, 12]}`)
	setup(t, from)
	write(t, root, "etc/shadowsocks/a.json", `{`)
	write(t, root, "etc/shadowsocks/b.json", `{"server_port": 13}`)
	if ports, _ := setup(t, from); ports != "1 10 11 13" {
		t.Errorf("got %s, want 1 10 11 13", ports)
	}
}

// A file that is named has to be right, also where the search would find it, and
// is read once.
func TestANamedFileInAUsualPlace(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	from.Shadowsocks = []string{write(t, root, "etc/shadowsocks/a.json", `{"server_port": 10}`)}
	result, err := sources.Follow(from).Load()
	if err != nil || len(result.Configs) != 1 {
		t.Errorf("got %v, %v, want one configuration", result.Configs, err)
	}
	write(t, root, "etc/shadowsocks/a.json", `{`)
	if _, err := sources.Follow(from).Load(); err == nil {
		t.Error("a named file is broken, and that is no error")
	}
}
