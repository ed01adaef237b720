package settings

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/failure"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
)

// FuzzFile reads a settings file.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "{", "port: !x\nhook: host", "port: [20000=alice, 20001-20003/tcp@10.0.0.1]\nzone: Asia/Kathmandu\nmonth-day: 15\nkeep-hours: 90d",
		"warn: {alice: 3kB, 20001: 1GB}\naddresses: {alice: 5}", "warn: [100GB, bob=none]", "warn: 100GB\naddresses: 3\ncharts: all",
		"interval: 100ms\nsave-interval: 1h\ncsv: ''\nlisten: 127.0.0.1:10977\nmetrics-names: no\nown: auto\nkeep-days: 2y\nno-search: true",
		"port: [no]\nz-ne: 1", "interval: \"\\e[2J\"", "zone: \"a\\nb\"", "month-day: 1e9", "port: &a [*a]", "hook: container\n---\nhook: x", "<<: {hook: host}",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Inputs{Keys: All(), File: path}.Load()
		if err == nil {
			return
		}
		lines := strings.Split(terminal.Error(err), "\n")
		mistakes := 1
		if file, ok := errors.AsType[*FileError](err); ok {
			mistakes = len(file.Mistakes)
		}
		if !errors.As(err, new(*failure.WrongError)) || len(lines) != mistakes ||
			slices.ContainsFunc(lines, func(line string) bool { return strings.ContainsFunc(line, testkit.CommandsTerminal) }) {
			t.Fatalf("got %q", lines)
		}
	})
}
