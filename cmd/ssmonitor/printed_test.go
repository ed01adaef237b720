package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/characters"
	"ssmonitor/internal/setup"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
)

// hostile is the name of a file that would turn the screen red, hide what follows and
// print a line of its own.
const (
	hostile = "x\x1b[31m\u202e\u009b2J\nnote: all is well\u3164.json"
	shown   = `x\x1b[31m\u202e\u009b2J\nnote: all is well\u3164.json`
)

// hostileFiles are directories with a configuration of the name: one that is worth a
// note, and one that can't be read.
func hostileFiles(t *testing.T) (noted, broken string) {
	t.Helper()
	noted, broken = t.TempDir(), t.TempDir()
	testkit.WriteFile(t, filepath.Join(noted, hostile), `{"servers": [{"address": "::", "port": 8388, "users": [{"name": "a"}, {"name": "b"}]}]}`)
	testkit.WriteFile(t, filepath.Join(broken, hostile), `{"server_port": `)
	return noted, broken
}

// requirePlain fails if the text moves a terminal's cursor, colours it, reorders what
// it shows, or has a line that begins as none of ours does.
func requirePlain(t *testing.T, text string, begins ...string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), characters.Hidden) {
			t.Errorf("not safe for a terminal: %q", line)
		}
		if len(begins) > 0 && !slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(line, begin) }) {
			t.Errorf("a forged line: %q", line)
		}
	}
}

func TestSetupPrintsPathsInOneLine(t *testing.T) {
	noted, _ := hostileFiles(t)
	status, stdout, stderr := setupIn(t, t.TempDir(), "--shadowsocks", noted)
	table, _, _ := strings.Cut(stdout, "table inet")
	for _, printed := range []string{table, stderr} {
		if status != exitDone || !strings.Contains(printed, filepath.Join(noted, shown)) {
			t.Errorf("status %d, got\n%s", status, printed)
		}
	}
	requirePlain(t, stderr, "note: "+noted+"/", "note: ports that a container engine")
	requirePlain(t, table, "#   PORT", "# + 8388", "# \n", "# "+noted+"/", "# 1 port counted", "\n")

	status, stdout, _ = setupIn(t, t.TempDir(), "--shadowsocks", noted, "--json")
	requirePlain(t, stdout)
	var report setup.Report
	if err := json.Unmarshal([]byte(stdout), &report); status != exitDone || err != nil || report.Ports[0].Sources[0] != filepath.Join(noted, hostile) {
		t.Errorf("status %d, %v: %+v", status, err, report)
	}
}

// Errors of the operating system have the path as it is.
func TestErrorsPrintPathsInOneLine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), hostile)
	for _, arguments := range [][]string{
		{"setup", "--dry-run", "--no-search", "--shadowsocks", missing, "--shadowsocks", missing},
		{"usage", "--config", missing},
		{"usage", "--state", missing, "--output", missing},
		{"client", "list", "--state", missing},
		{"top", "--once", "--socket", missing},
		{"teardown", "--config", missing},
		{"netdata", missing},
		{"setup", "--" + hostile},
		{hostile},
	} {
		status, stdout, stderr := call(t, arguments...)
		if status == exitDone || stdout != "" || !strings.Contains(stderr, `\x1b[31m`) {
			t.Errorf("%q: status %d, got %q, %q", arguments, status, stdout, stderr)
		}
		requirePlain(t, stderr, "ssmonitor: ", "reading a Shadowsocks configuration: ") // two errors are two lines
	}
}

func TestCheckPrintsPathsInOneLine(t *testing.T) {
	noted, broken := hostileFiles(t)
	arguments := []string{"check", "--no-search", "--shadowsocks", noted, "--shadowsocks", broken, "--list", filepath.Join(noted, hostile)}
	_, stdout, stderr := call(t, arguments...)
	if !strings.Contains(stdout, filepath.Join(noted, shown)) || !strings.Contains(stdout, filepath.Join(broken, shown)) {
		t.Errorf("got\n%s%s", stdout, stderr)
	}
	requirePlain(t, stdout+stderr)
	if strings.Contains(stdout, "\nnote: all") {
		t.Errorf("a forged line in\n%s", stdout)
	}
	for _, format := range []string{"--nagios", "--json"} {
		_, stdout, _ := call(t, append(arguments, format)...)
		requirePlain(t, stdout)
	}
}

// The log leaves letters as they are, which fillers are to Unicode.
func TestLogIsPlain(t *testing.T) {
	var stderr bytes.Buffer
	newLog(terminal.Writer(&stderr)).Warn(hostile, "path\x7f", hostile, "filler", "\u3164")
	requirePlain(t, stderr.String(), "time=", "level=")
}
