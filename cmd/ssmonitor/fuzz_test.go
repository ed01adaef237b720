package main

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"ssmonitor/output/api"
)

// FuzzSettings reads a settings file into the flags of all commands, and validates them.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		"", "{", "port: !x\nhook: host", "port: [20000=alice, 20001-20003/tcp@10.0.0.1]\nzone: Asia/Kathmandu\nmonth-day: 15\nkeep-hours: 90d",
		"warn: {alice: 3kB, 20001: 1GB}\naddresses: {alice: 5}", "warn: [100GB, bob=none]", "warn: 100GB\naddresses: 3\ncharts: all",
		"interval: 100ms\nsave-interval: 1h\ncsv: ''\nlisten: 127.0.0.1:10977\nmetrics-names: no\nown: auto\nkeep-days: 2y\nno-search: true",
		"interval: \"\\e[2J\"", "zone: \"a\\nb\"", "month-day: 1e9", "port: &a [*a]", "hook: container\n---\nhook: x", "<<: {hook: host}",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		command := &cli.Command{
			Name:  "every",
			Flags: slices.Concat(runCommand().Flags, []cli.Flag{noSearchFlag(), chartsFlag()}),
			Action: func(c *cli.Context) error {
				if err := applyConfig(c); err != nil {
					return err
				}
				return validateFlags(c)
			},
		}
		app := &cli.App{Commands: []*cli.Command{command}, DisableSliceFlagSeparator: true, ExitErrHandler: func(*cli.Context, error) {}}
		readableDurations(command.Flags)
		err := app.RunContext(t.Context(), []string{"ssmonitor", command.Name, "--config", path})
		var stderr strings.Builder
		if status := exitStatus(err, new(checkedWriter), &stderr); status != exitDone && status != exitUsage {
			t.Fatalf("got status %d: %s", status, &stderr)
		}
		checkMessage(t, stderr.String())
	})
}

// validateFlags does with the flags what the commands do before their work.
func validateFlags(c *cli.Context) error {
	_, tableErr := tableOptions(c)
	_, sourcesErr := portSources(c)
	_, storeErr := storeOptions(c)
	_, limitsErr := usageLimits(c)
	_, addressesErr := addressLimits(c)
	_, chartsErr := parseCharts(c.String("charts"))
	return cmp.Or(tableErr, sourcesErr, storeErr, limitsErr, addressesErr, chartsErr, checkIntervals(c))
}

// checkMessage fails unless a terminal shows what was printed as it is, on one line.
func checkMessage(t *testing.T, printed string) {
	t.Helper()
	message := strings.TrimSuffix(printed, "\n")
	if !utf8.ValidString(message) || strings.ContainsFunc(message, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	}) {
		t.Fatalf("this is not text on one line: %q", message)
	}
}

// FuzzUsageCommand gives the arguments of usage. The database is not read: see
// FuzzHistory of package accounting.
func FuzzUsageCommand(f *testing.F) {
	f.Add("total", "", "", "7d", "alice", "20000", "10", "usage", "json")
	f.Add("day", "2026-11", "2026-11-24T16:00:00Z", "", "port 20000", "", "", "name", "csv")
	f.Add("hour", "2026-13", "1999-02-29", "1y", "", "70000", "-1", "in", "html")
	f.Add("month", "\x1b[2J", "\n", "99999999999d", "\u202e", "0", "x", "out", "table")
	f.Fuzz(func(t *testing.T, by, since, until, last, client, port, top, sort, format string) {
		arguments := []string{"usage", "--config", noConfig}
		for _, flag := range [][2]string{
			{"by", by}, {"since", since}, {"until", until}, {"last", last}, {"client", client}, {"port", port},
			{"top", top}, {"sort", sort}, {"format", format},
		} {
			if flag[1] != "" {
				arguments = append(arguments, "--"+flag[0]+"="+flag[1])
			}
		}
		status, stdout, stderr := callUsage(t, &fakeHistory{}, arguments...)
		switch status {
		case exitUsage:
			checkMessage(t, stderr)
		case exitDone:
			if stderr != "" || stdout == "" {
				t.Fatalf("got %q and %q", stdout, stderr)
			}
		default:
			t.Fatalf("got status %d: %s", status, stderr)
		}
		if status != exitDone || format != formatJSON {
			return
		}
		if _, err := api.ReadUsage(bytes.NewBufferString(stdout)); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
	})
}

// FuzzClientCommand gives the arguments of client new.
func FuzzClientCommand(f *testing.F) {
	f.Add("20000", "dave")
	f.Add("0", "")
	f.Add("-1", "\x1b[2J")
	f.Add("65535", " port 20000 ")
	f.Fuzz(func(t *testing.T, port, name string) {
		h := &fakeHistory{}
		status, _, stderr := callUsage(t, h, "client", "new", "--config", noConfig, "--", port, name)
		if status != exitDone && status != exitUsage {
			t.Fatalf("got status %d: %s", status, stderr)
		}
		if given := h.given != ""; given != (status == exitDone) {
			t.Fatalf("got status %d, and given %q", status, h.given)
		}
		checkMessage(t, h.given+stderr)
	})
}

// FuzzDuration sets a flag for a time.
func FuzzDuration(f *testing.F) {
	for _, text := range []string{"1s", "100ms", "1h30m", "-1s", "1e9s", "9999999h", "", "5", "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d durationValue
		if d.Set(text) != nil {
			return
		}
		var again durationValue
		if err := again.Set(d.String()); err != nil || again.Duration != d.Duration {
			t.Fatalf("%q became %s, which became %s, %v", text, d.String(), again.Duration, err)
		}
	})
}
