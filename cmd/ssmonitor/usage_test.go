package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/internal/testkit"
)

// ledger returns the state directory of two clients, of whom the one has that name and the
// other is bob, with usage in the running month.
func ledger(tb testing.TB, name string) (directory string) {
	tb.Helper()
	directory = filepath.Join(tb.TempDir(), "state")
	ledger, _, _, err := store.Open(directory, store.Options{Holder: store.ClientHolder})
	if err != nil {
		tb.Fatal(err)
	}
	ledger.ResolveNames(accounting.Ports{
		{Number: 20000, Protocols: accounting.TCPAndUDP, Name: name}, {Number: 20001, Protocols: accounting.TCPAndUDP, Name: "bob"},
	})
	now, state := time.Now(), accounting.State{Read: true}
	for i := range 2 {
		key, count := accounting.Key{Port: uint16(20000 + i), Protocol: accounting.TCP, Direction: accounting.Out}, accounting.Count{Packets: 1, Bytes: uint64(3000 * (i + 1))}
		state.Out = state.Out.Plus(count)
		state.Accounts = append(state.Accounts, accounting.Account{Key: key, Total: count, Last: count})
		state.Gains = append(state.Gains, accounting.Gain{Key: key, Count: count, Time: now})
	}
	if err := errors.Join(ledger.Save(state), ledger.Close()); err != nil {
		tb.Fatal(err)
	}
	return directory
}

func writeSettings(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, path, text)
	return path
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
	report := filepath.Join(t.TempDir(), "report")
	if status := execute(t.Context(), []string{"ssmonitor", "usage", "--config", "none", "--state", ledger(t, "alice"), "--output", report}, terminal, io.Discard); status != exitDone {
		t.Fatalf("got status %d", status)
	}
	if written, err := os.ReadFile(report); err != nil || len(written) == 0 || bytes.Contains(written, []byte("\x1b")) {
		t.Errorf("--output on a terminal: got %v and %q, want no colours", err, written)
	}
}
