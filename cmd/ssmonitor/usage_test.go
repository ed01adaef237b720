package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// fakeHistory has two clients, with usage in the running month.
type fakeHistory struct {
	directory string
	err       error  // of every method
	first     string // the first client's name; empty: alice
}

func (h *fakeHistory) View(_ context.Context, read func(usage.Snapshot) error) error {
	if h.err != nil {
		return h.err
	}
	return read(h)
}

func (h *fakeHistory) Calendar() (usage.Calendar, error) {
	return usage.Calendar{Zone: time.UTC, MonthDay: 1}, nil
}

func (h *fakeHistory) Usage(query usage.Query) (*usage.Records, error) {
	now := time.Now().UTC()
	start := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	records := &usage.Records{Query: query}
	for i, name := range []string{cmp.Or(h.first, "alice"), "bob"} {
		records.Rows = append(records.Rows, usage.Row{
			Start: start, End: start.AddDate(0, 1, 0), Client: name, Port: uint16(20000 + i), Protocol: accounting.TCP,
			In: accounting.Count{Packets: 1, Bytes: 1000}, Out: accounting.Count{Packets: 2, Bytes: uint64(3000 * (i + 1))},
		})
	}
	return records, nil
}

func (h *fakeHistory) Clients() ([]usage.Client, error) {
	return []usage.Client{{Port: 20001, Name: "bob"}, {Port: 20000, Name: cmp.Or(h.first, "alice")}}, nil
}

func (h *fakeHistory) open(directory string) usage.History {
	h.directory = directory
	return h
}

// callUsage runs the command line with the commands of usage.
func callUsage(t *testing.T, h *fakeHistory, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, failure bytes.Buffer
	checked := &checkedWriter{Writer: &out}
	err := newApp(checked, &failure, h.open).RunContext(t.Context(), append([]string{"ssmonitor"}, arguments...))
	status = exitStatus(err, checked, &failure)
	return status, out.String(), failure.String()
}

func writeSettings(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsageCommand(t *testing.T) {
	h := &fakeHistory{}
	status, stdout, stderr := callUsage(t, h, "usage", "--state", "/somewhere/else", "--config", writeSettings(t,
		"port: [20000=alice]\nzone: Asia/Kathmandu\nmonth-day: 15\nkeep-hours: 90d\nwarn: {alice: 3kB, 20001: 1GB}\n"))
	if status != exitDone || stderr != "" || h.directory != "/somewhere/else" {
		t.Errorf("got status %d, stderr %q, opened %q", status, stderr, h.directory)
	}
	for _, want := range []string{"bob          1.00 kB    6.00 kB    7.00 kB   63.6%", "Over the monthly limit:\n  alice", "4.00 kB of 3 kB"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "\x1b") {
		t.Errorf("got colours, want none:\n%q", stdout)
	}
}

func TestUsageFormats(t *testing.T) {
	for format, want := range map[string]string{"csv": "type,start,end,client", "json": `"by": "month"`, "html": "<!DOCTYPE html>", "table": "CLIENT"} {
		path := filepath.Join(t.TempDir(), "report")
		none := writeSettings(t, "")
		status, stdout, stderr := callUsage(t, &fakeHistory{}, "usage", "--format", format, "--config", none)
		if status != exitDone || !strings.Contains(stdout, want) {
			t.Errorf("%s: got status %d, stderr %q, stdout\n%s", format, status, stderr, stdout)
		}
		status, silent, stderr := callUsage(t, &fakeHistory{}, "usage", "--format", format, "--config", none, "--output", path)
		written, err := os.ReadFile(path)
		if status != exitDone || silent != "" || err != nil || format != "html" && string(written) != stdout {
			t.Errorf("%s to a file: got status %d, stderr %q, stdout %q, wrote\n%s", format, status, stderr, silent, written)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", format, info.Mode(), err)
		}
	}
}

func TestUsageOutputFollowsTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "report")
	if status, _, stderr := callUsage(t, &fakeHistory{}, "usage", "--config", writeSettings(t, ""), "--output", path); status != exitDone {
		t.Fatalf("status %d\n%s", status, stderr)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got the mode %v, want 0600: %v", info.Mode(), err)
	}
}

func TestUsageJSON(t *testing.T) {
	none := writeSettings(t, "")
	_, want, _ := callUsage(t, &fakeHistory{}, "usage", "--format", "json", "--config", none)
	for _, arguments := range [][]string{{"--json"}, {"--json", "--format", "json"}} {
		status, got, stderr := callUsage(t, &fakeHistory{}, append([]string{"usage", "--config", none}, arguments...)...)
		if status != exitDone || stderr != "" || got != want || !strings.HasPrefix(got, "{") {
			t.Errorf("%q: got status %d, %q and\n%s", arguments, status, stderr, got)
		}
	}
}

func TestWrongUsageOfUsage(t *testing.T) {
	none := writeSettings(t, "")
	newer := errors.New("ssmonitor.db has schema 7, this ssmonitor knows 1: update it")
	tests := []struct {
		name      string
		err       error
		arguments []string
		status    int
		says      string
	}{
		{"unknown client", nil, []string{"usage", "--client", "alicia"}, exitUsage, `client "alicia" is not known: the nearest of 2 are alice, bob`},
		{"since after until", nil, []string{"usage", "--since", "2026-11", "--until", "2026-10"}, exitUsage, `since "2026-11" is not before until "2026-10"`},
		{"month 13", nil, []string{"usage", "--since", "2026-13"}, exitUsage, "month 13: want 01 to 12"},
		{"format", nil, []string{"usage", "--format", "xml"}, exitUsage, `format "xml": want table, csv, json or html`},
		{"argument", nil, []string{"usage", "alice"}, exitUsage, `"alice" is not expected here`},
		{"warn", nil, []string{"usage", "--warn", "alice=much"}, exitUsage, `warn "alice=much": want a number and a unit`},
		{"warn in the settings", nil, []string{"usage", "--config", writeSettings(t, "warn: {alice: [1GB]}\n")}, exitUsage, "key warn: want a limit, a list of limits, or a map"},
		{"no rights", fmt.Errorf("opening ssmonitor.db: %w", fs.ErrPermission), []string{"usage"}, exitFailed, "opening ssmonitor.db: permission denied: "},
		{"newer schema", newer, []string{"usage"}, exitFailed, newer.Error()},
		{"no directory for the output", nil, []string{"usage", "--output", "/nowhere/at/all"}, exitFailed, "/nowhere/at"},
		{"new without a name", nil, []string{"client", "new", "20000"}, exitUsage, "want a port and a name"},
		{"new for a port that is none", nil, []string{"client", "new", "0", "dave"}, exitUsage, "0"},
		{"new for several ports", nil, []string{"client", "new", "20000-20001", "dave"}, exitUsage, ""},
		{"new with a name that is none", nil, []string{"client", "new", "20000", "a\nb"}, exitUsage, "a name without control"},
		{"new with an empty name", nil, []string{"client", "new", "20000", " "}, exitUsage, "want the name of a client, as in ssmonitor client new 20000 dave"},
		{"no such subcommand", nil, []string{"client", "old"}, exitUsage, `there is no command "client old"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("SSMONITOR_CONFIG", none)
			status, stdout, stderr := callUsage(t, &fakeHistory{err: test.err}, test.arguments...)
			if status != test.status || !strings.Contains(stderr, test.says) || stdout != "" || strings.Count(stderr, "\n") != 1 {
				t.Errorf("got status %d, stderr %q and printed %q; want status %d and %q", status, stderr, stdout, test.status, test.says)
			}
		})
	}
}

func TestClientCommand(t *testing.T) {
	t.Setenv("SSMONITOR_CONFIG", writeSettings(t, ""))
	h := &fakeHistory{}
	status, stdout, stderr := callUsage(t, h, "client", "list")
	if want := " PORT  NAME   SINCE             UNTIL\n20000  alice\n20001  bob\n"; status != exitDone || stdout != want {
		t.Errorf("got status %d, stderr %q, stdout %q", status, stderr, stdout)
	}
	status, stdout, stderr = callUsage(t, h, "client", "list", "--json")
	if status != exitDone || !strings.Contains(stdout, `"name": "alice"`) {
		t.Errorf("got status %d, stderr %q, stdout %q", status, stderr, stdout)
	}
	for _, arguments := range [][]string{{"usage", "--help"}, {"client", "--help"}, {"client", "new", "--help"}, {"client", "list", "--help"}, {"client"}} {
		if status, help, stderr := callUsage(t, h, arguments...); status != exitDone || !strings.Contains(help, "Example") && len(arguments) > 1 || help == "" {
			t.Errorf("%q: got status %d, stderr %q, stdout\n%s", arguments, status, stderr, help)
		}
	}
}

func TestWarnInSettings(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"one limit", "warn: 3kB\n", "alice"},
		{"a list", "warn: [100GB, alice=3kB]\n", "alice"},
		{"a map", "warn:\n  alice: 3kB\n", "alice"},
		{"nobody", "warn: [3kB, alice=none, bob=1GB]\n", "Nobody is over"},
	}
	for _, test := range tests {
		status, stdout, stderr := callUsage(t, &fakeHistory{}, "usage", "--client", "alice", "--client", "bob", "--config", writeSettings(t, test.text))
		_, limits, _ := strings.Cut(stdout, "100.0%")
		if status != exitDone || !strings.Contains(limits, test.want) {
			t.Errorf("%s: got status %d, stderr %q, stdout\n%s", test.name, status, stderr, stdout)
		}
	}
}

func TestColorsOnlyOnATerminal(t *testing.T) {
	open := func(path string, flags int) *os.File {
		file, err := os.OpenFile(path, flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return file
	}
	terminal, null := open("/dev/ptmx", os.O_RDWR), open("/dev/null", os.O_WRONLY)
	file := open(filepath.Join(t.TempDir(), "file"), os.O_WRONLY|os.O_CREATE)
	environment := func(variables ...string) func(string) string {
		return func(name string) string {
			for _, variable := range variables {
				if value, found := strings.CutPrefix(variable, name+"="); found {
					return value
				}
			}
			return ""
		}
	}
	if !showsColors(terminal, environment("TERM=xterm", "NO_COLOR=")) {
		t.Error("got no colours on a terminal")
	}
	if showsColors(terminal, environment("NO_COLOR=1")) || showsColors(terminal, environment("TERM=dumb")) ||
		showsColors(null, environment()) || showsColors(file, environment()) || showsColors(&bytes.Buffer{}, environment()) {
		t.Error("got colours, want none")
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	h, report := &fakeHistory{}, filepath.Join(t.TempDir(), "report")
	arguments := []string{"ssmonitor", "usage", "--config", "none", "--output", report}
	if err := newApp(terminal, io.Discard, h.open).RunContext(t.Context(), arguments); err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(report); err != nil || len(written) == 0 || bytes.Contains(written, []byte("\x1b")) {
		t.Errorf("--output on a terminal: got %v and %q, want no colours", err, written)
	}
}

// A mistake on the command line is corrected first, whatever else is wrong.
func TestUsageNamesMistakesFirst(t *testing.T) {
	for _, err := range []error{fs.ErrPermission, fs.ErrNotExist, errors.New("damaged")} {
		for _, arguments := range [][]string{{"--by", "x"}, {"--since", "2026-13"}, {"--last", "7"}, {"--sort", "y"}, {"--top", "0"}} {
			status, stdout, stderr := callUsage(t, &fakeHistory{err: err}, append([]string{"usage", "--config", "none"}, arguments...)...)
			if status != exitUsage || stdout != "" || !strings.Contains(stderr, arguments[1]) {
				t.Errorf("%q after %v: status %d, %q", arguments, err, status, stderr)
			}
		}
		if status, _, stderr := callUsage(t, &fakeHistory{err: err}, "usage", "--config", "none"); status != exitFailed || !strings.Contains(stderr, err.Error()) {
			t.Errorf("after %v: status %d, %q", err, status, stderr)
		}
	}
}
