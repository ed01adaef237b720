package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"ssmonitor/internal/settings"
	"ssmonitor/output/api"
)

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

// FuzzUsageCommand gives the arguments of usage.
func FuzzUsageCommand(f *testing.F) {
	f.Add("total", "", "", "7d", "alice", "20000", "10", "usage", "json")
	f.Add("day", "2026-11", "2026-11-24T16:00:00Z", "", "port 20000", "", "", "name", "csv")
	f.Add("hour", "2026-13", "1999-02-29", "1y", "", "70000", "-1", "in", "html")
	f.Add("month", "\x1b[2J", "\n", "99999999999d", "\u202e", "0", "x", "out", "table")
	state := ledger(f, "alice")
	f.Fuzz(func(t *testing.T, by, since, until, last, client, port, top, sort, format string) {
		arguments := []string{"usage", "--config", settings.NoFile, "--state", state}
		for _, flag := range [][2]string{
			{"by", by}, {"since", since}, {"until", until}, {"last", last}, {"client", client}, {"port", port},
			{"top", top}, {"sort", sort}, {"format", format},
		} {
			if flag[1] != "" {
				arguments = append(arguments, "--"+flag[0]+"="+flag[1])
			}
		}
		status, stdout, stderr := call(t, arguments...)
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

// FuzzClientCommand gives the arguments of client new. There is no ledger.
func FuzzClientCommand(f *testing.F) {
	f.Add("20000", "dave")
	f.Add("0", "")
	f.Add("-1", "\x1b[2J")
	f.Add("65535", " port 20000 ")
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, port, name string) {
		status, stdout, stderr := call(t, "client", "new", "--config", settings.NoFile, "--state", directory, "--", port, name)
		if status != exitUsage && (status != exitFailed || !strings.Contains(stderr, "giving port ")) || stdout != "" {
			t.Fatalf("got status %d: %s", status, stderr)
		}
		checkMessage(t, stderr)
	})
}
