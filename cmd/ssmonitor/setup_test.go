package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/integration/portlist"
	"ssmonitor/internal/setup"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
)

// setupIn runs setup --dry-run on the files of a directory.
func setupIn(t *testing.T, directory string, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	return call(t, append([]string{"setup", "--dry-run", "--no-search", "--ports", filepath.Join(directory, "ports")}, arguments...)...)
}

func writeIn(t *testing.T, directory, name, content string) string {
	t.Helper()
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// changedList is a list of which one port is gone, one is new, one has another
// name and one another protocol.
func changedList(t *testing.T) (directory string, flags []string) {
	t.Helper()
	directory = t.TempDir()
	config := writeIn(t, directory, "config.json", `{"servers": [
		{"address": "::", "port": 20000, "name": "alice"},
		{"address": "::", "port": 20001, "name": "robert"},
		{"address": "::", "port": 20002, "mode": "tcp_only"},
		{"address": "::", "port": 20004, "users": [{"name": "a"}, {"name": "b"}]}]}`)
	writeIn(t, directory, "ports", "# from "+config+"\n20000=alice\n20001=bob\n20002\n20003=gone\n")
	return directory, []string{"--shadowsocks", config, "--port", "30000/udp=Doe, John"}
}

func TestSetupPrintsWhatChanges(t *testing.T) {
	directory, flags := changedList(t)
	status, stdout, stderr := setupIn(t, directory, flags...)
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	table, ruleset, _ := strings.Cut(stdout, "table inet")
	if !strings.Contains(ruleset, "counter udp-30000-in") {
		t.Errorf("the ruleset is missing in:\n%s", stdout)
	}
	got := strings.ReplaceAll(stderr+table, directory, "DIRECTORY")
	testkit.Golden(t, "setup.golden", got)
}

func TestSetupPrintsJSON(t *testing.T) {
	directory, flags := changedList(t)
	status, stdout, stderr := setupIn(t, directory, append(flags, "--json")...)
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var report setup.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v in:\n%s", err, stdout)
	}
	changes := make(map[uint16]string)
	for _, port := range report.Ports {
		changes[port.Port] = port.Change
		if len(port.Sources) == 0 || len(port.Protocols) == 0 {
			t.Errorf("port %d has the sources %q and the protocols %q", port.Port, port.Sources, port.Protocols)
		}
	}
	want := map[uint16]string{20000: "", 20001: "changed", 20002: "changed", 20003: "removed", 20004: "added", 30000: "added"}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	read := []setup.Configuration{{Path: filepath.Join(directory, "config.json"), Program: "shadowsocks-rust", RecognisedBy: "servers", Ports: 4}}
	if diff := cmp.Diff(read, report.Configurations); diff != "" {
		t.Error(diff)
	}
	if len(report.Notes) != 1 || report.List != filepath.Join(directory, "ports") {
		t.Errorf("got the notes %q and the list %s", report.Notes, report.List)
	}
}

// Names take other numbers of a terminal's cells than of letters, and other ones in ASCII.
func TestTableIsAligned(t *testing.T) {
	var flags []string
	for i, name := range []string{"\u674e\u5c0f\u9f99", "bob", "e\u0301ve", "\U0001f1e9\U0001f1ea Frankfurt", "\u0639\u0644\u064a"} {
		flags = append(flags, "--port", fmt.Sprintf("%d=%s", 20000+i, name))
	}
	for _, locale := range []string{"C.UTF-8", "C"} {
		t.Setenv("LC_ALL", locale)
		status, stdout, stderr := setupIn(t, t.TempDir(), flags...)
		table, _, _ := strings.Cut(stdout, "\n# \n")
		begins := make(map[int]bool)
		for line := range strings.Lines(table) {
			before, _, found := strings.Cut(line, "--port")
			if !found {
				before, _, _ = strings.Cut(line, "SOURCE")
			}
			begins[terminal.Width(before)] = true
		}
		if status != exitDone || len(begins) != 1 || strings.Count(table, "--port") != 5 {
			t.Errorf("%s: status %d, the column of sources begins at %v\n%s%s", locale, status, begins, stdout, stderr)
		}
	}
}

// A list that setup wrote can be damaged. Any other file may be one that --ports names by
// mistake.
func TestSetupReplacesOnlyItsList(t *testing.T) {
	const firstLine = `# The ports that ssmonitor counts, written by "ssmonitor setup", which replaces this file.` + "\n"
	for _, content := range []string{firstLine + "20000/sctp\n", firstLine + `{"server_port": 8388}`} {
		directory := t.TempDir()
		writeIn(t, directory, "ports", content)
		if status, _, stderr := setupIn(t, directory, "--port", "20000"); status != exitDone || !strings.Contains(stderr, "the list is replaced") {
			t.Errorf("%s: got status %d and %q", content, status, stderr)
		}
	}
	for _, content := range []string{"20000/sctp\n", `{"server_port": 8388}`, "root:x:0:0::/root:/bin/sh\n"} {
		directory := t.TempDir()
		writeIn(t, directory, "ports", content)
		if status, _, stderr := setupIn(t, directory, "--port", "20000"); status != exitFailed || !strings.Contains(stderr, "name another one with --ports") {
			t.Errorf("%s: got status %d and %q", content, status, stderr)
		}
		if left, err := os.ReadFile(filepath.Join(directory, "ports")); err != nil || string(left) != content {
			t.Errorf("got %q, %v in the file, want %q", left, err, content)
		}
	}
}

// A comma separates values in the environment alone.
func TestOnlyTheEnvironmentIsSplitAtCommas(t *testing.T) {
	directory := t.TempDir()
	config := writeIn(t, directory, "a,b.json", `{"server_port": 8388}`)
	second := writeIn(t, directory, "second.json", `{"server_port": 8389}`)
	third := writeIn(t, directory, "third.json", `{"server_port": 8390}`)
	settings := writeIn(t, directory, "config.yaml", "port: ['20002=Doe, John']\nno-search: true\n")
	for _, test := range []struct {
		name, variable string
		arguments      []string
		want           []string
	}{
		{"flag", "", []string{"--port", "20000=Doe, John"}, []string{"20000 Doe, John"}},
		{"path", "", []string{"--shadowsocks", config}, []string{"8388 "}},
		{"environment", "SSMONITOR_PORT=20000=Doe, 20001=John", nil, []string{"20000 Doe", "20001 John"}},
		{"paths in the environment", "SSMONITOR_SHADOWSOCKS=" + second + ", " + third, nil, []string{"8389 ", "8390 "}},
		{"flag over environment", "SSMONITOR_PORT=20000=Doe,20001", []string{"--port", "20003=Doe, J"}, []string{"20003 Doe, J"}},
		{"settings", "", []string{"--config", settings}, []string{"20002 Doe, John"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if name, value, set := strings.Cut(test.variable, "="); set {
				t.Setenv(name, value)
			}
			status, stdout, stderr := setupIn(t, directory, append(test.arguments, "--json")...)
			if status != exitDone {
				t.Fatalf("status %d: %s", status, stderr)
			}
			var report setup.Report
			if err := json.Unmarshal([]byte(stdout), &report); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, port := range report.Ports {
				got = append(got, strings.Join([]string{strings.TrimSpace(string(mustMarshal(t, port.Port))), port.Name}, " "))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func mustMarshal(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Nothing that setup prints about any file of the zoo contains a secret.
func TestSetupShowsNoSecretOfTheZoo(t *testing.T) {
	const marker, zoo = "QZQZQ", "../../integration/shadowsocks/testdata/zoo"
	directory, count := t.TempDir(), 0
	if err := os.CopyFS(directory, os.DirFS(zoo)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "expect.golden" {
			return err
		}
		count++
		for _, flags := range [][]string{{"--shadowsocks", path}, {"--server-config", path, "--any-protocol", "--json"}} {
			_, stdout, stderr := setupIn(t, t.TempDir(), flags...)
			if strings.Contains(stdout+stderr, marker) {
				t.Errorf("%s: a secret is shown:\n%s\n%s", path, stderr, stdout)
			}
		}
		return nil
	})
	if err != nil || count == 0 {
		t.Fatalf("%d files, %v", count, err)
	}
}

// TestSetupWritesTargets names targets on the command line and in the settings,
// then others. Each is a change of the list.
func TestSetupWritesTargets(t *testing.T) {
	p := newPlace(t)
	settings := writeIn(t, t.TempDir(), "config.yaml", "port: ['20001/udp@[fd00::2]:53=bob']\n")
	for _, test := range []struct {
		arguments []string
		line      string // of the list
		report    string
	}{
		{[]string{"--port", "20000@172.17.0.2:8388=alice"}, "20000@172.17.0.2:8388=alice", "+ 20000  tcp, udp, forwarded to tcp 172.17.0.2:8388, udp 172.17.0.2:8388  alice"},
		{[]string{"--port", "20000@172.17.0.2:8388=alice"}, "20000@172.17.0.2:8388=alice", "nothing has changed"},
		{[]string{"--port", "20000=alice"}, "20000=alice", "~ 20000  tcp, udp (was tcp, udp, forwarded to tcp 172.17.0.2:8388, udp 172.17.0.2:8388)"},
		{[]string{"--port", "20000/tcp@172.17.0.2=alice", "--port", "20000/udp@172.17.0.3"}, "20000/udp@172.17.0.3:20000=alice", "1 changed"},
		{[]string{"--config", settings}, "20001/udp@[fd00::2]:53=bob", "+ 20001  udp, forwarded to udp [fd00::2]:53"},
	} {
		status, stdout, stderr := call(t, append([]string{"setup", "--no-search", "--ports", p.list}, test.arguments...)...)
		list, err := os.ReadFile(p.list)
		if err != nil || status != exitDone {
			t.Fatalf("%q: status %d, %v\n%s", test.arguments, status, err, stderr)
		}
		if !strings.Contains(string(list), "\n"+test.line+"\n") || !strings.Contains(stdout, test.report) {
			t.Errorf("%q: got the list\n%s\nand the report\n%s\nwant %q and %q", test.arguments, list, stdout, test.line, test.report)
		}
	}
	t.Setenv("SSMONITOR_PORT", "20002@172.17.0.2, 20003@172.17.0.2:20002")
	status, _, stderr := call(t, "setup", "--no-search", "--ports", p.list)
	if status != exitUsage || !strings.Contains(stderr, "ports 20002 and 20003 have the same target, tcp 172.17.0.2:20002") {
		t.Errorf("two ports of one target: status %d\n%s", status, stderr)
	}
}

// TestSetupMarksPublishedPorts has two ports, of which a container engine publishes
// one, later both, and then none.
func TestSetupMarksPublishedPorts(t *testing.T) {
	p := newPlace(t)
	const engine = `table ip nat {
		chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
		chain DOCKER { %s }
	}`
	for _, step := range []struct{ name, rule, published string }{
		{"one port, by TCP", `iifname != "docker0" tcp dport 20001 dnat to 172.17.0.2:8388;`, "20001"},
		{"both", `udp dport 20000-20001 dnat to 172.17.0.2;`, "20000 20001"},
		{"by a map", `dnat to udp dport map { 20000 : 172.17.0.2, 443 : 172.17.0.3 };`, "20000"},
		{"redirected to this host", `tcp dport 20000 redirect to :8388;`, ""},
		{"none", ``, ""},
	} {
		// Not in a subtest, which would run on a thread of the host's namespace.
		p.nft("flush ruleset ip; " + fmt.Sprintf(engine, step.rule))
		if notes := p.setup(); strings.Contains(notes, "published by chain ip nat DOCKER") != (step.published != "") {
			t.Errorf("setup of %s notes\n%s", step.name, notes)
		}
		entries, err := portlist.Read(p.list)
		if err != nil {
			t.Fatal(err)
		}
		var published []string
		for _, entry := range entries {
			if entry.Published {
				published = append(published, fmt.Sprint(entry.Number))
			}
		}
		if got := strings.Join(published, " "); got != step.published {
			t.Errorf("setup marked %q, want %q", got, step.published)
		}
		_, output, _ := call(t, p.checkArguments(p.socket)...)
		counted := strings.Contains(output, "and counted where the host forwards it")
		if want := step.published != ""; counted != want || strings.Contains(output, "past hook host") {
			t.Errorf("check said, want counted %t:\n%s", want, output)
		}
	}
}
