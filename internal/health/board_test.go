package health_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/internal/health"
)

// TestBoard has two operations fail and work again, by a clock of minutes.
func TestBoard(t *testing.T) {
	start := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	now := start
	var log bytes.Buffer
	board := health.NewBoard(func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	full, gone := errors.New("disk full"), errors.Join(errors.New("gone"), errors.New("for good"))
	for i, step := range []struct {
		id      health.ID
		err     error
		want    string // id@minute: the first words
		lines   int    // of the log
		summary string // its end
	}{
		{health.Saves, nil, "", 0, ""},
		{health.CSVFile, full, "csv-file@1 disk full", 1, "disk full: see ssmonitor check"},
		{health.Saves, gone, "csv-file@1 disk full, saves@2 gone; for good", 1, "disk full, and 1 more: see ssmonitor check"},
		{health.CSVFile, fmt.Errorf("again: %w", full), "csv-file@1 disk full, saves@2 gone; for good", 0, "1 more: see ssmonitor check"},
		{health.CSVFile, gone, "csv-file@1 gone; for good, saves@2 gone; for good", 1, "1 more: see ssmonitor check"},
		{health.CSVFile, nil, "saves@2 gone; for good", 1, "for good: see ssmonitor check"},
		{health.CSVFile, full, "saves@2 gone; for good, csv-file@6 disk full", 1, "1 more: see ssmonitor check"},
		{health.Saves, nil, "csv-file@6 disk full", 1, "disk full: see ssmonitor check"},
	} {
		now = start.Add(time.Duration(i) * time.Minute)
		log.Reset()
		board.Observe(step.id, step.err)
		var got []string
		for _, problem := range board.Problems() {
			_, cause, _ := strings.Cut(problem.Message, ": ")
			got = append(got, fmt.Sprintf("%s@%d %s", problem.ID, int(problem.Since.Sub(start).Minutes()), cause))
			if problem.Remedy == "" {
				t.Errorf("%s: no remedy", problem.ID)
			}
		}
		if joined := strings.Join(got, ", "); joined != step.want {
			t.Errorf("step %d: got %q, want %q", i, joined, step.want)
		}
		if got := strings.Count(log.String(), "\n"); got != step.lines {
			t.Errorf("step %d: got %d lines of the log, want %d:\n%s", i, got, step.lines, &log)
		}
		if got := health.Summary(board.Problems()); !strings.HasSuffix(got, step.summary) || (got == "") != (step.summary == "") {
			t.Errorf("step %d: got %q, want the end %q", i, got, step.summary)
		}
	}
}

// TestIDsAreDocumented compares the constants, what is said about each, and findings.md.
func TestIDsAreDocumented(t *testing.T) {
	names := func(path, pattern string) (names []health.ID) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			names = append(names, health.ID(match[1]))
		}
		return names
	}
	declared := names("id.go", `ID += "(.+)"`)
	if difference := cmp.Diff(declared, health.IDs()); difference != "" {
		t.Errorf("IDs differ from the constants (-constants +IDs)\n%s", difference)
	}
	documented := names("../../integration/findings.md", "(?m)^\\| `([a-z-]+)` \\| [^|]+\\|$")
	if difference := cmp.Diff(declared, documented); difference != "" {
		t.Errorf("findings.md differs from id.go (-declared +documented)\n%s", difference)
	}
}
