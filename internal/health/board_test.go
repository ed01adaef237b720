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

// TestNotes has a problem that keeps nothing from counting: it is logged as a warning, and is
// in no summary.
func TestNotes(t *testing.T) {
	var log bytes.Buffer
	board := health.NewBoard(time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	board.Observe(health.Connections, errors.New("not supported"))
	problems := board.Problems()
	if len(problems) != 1 || problems[0].Level != health.Note || health.Summary(problems) != "" || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("got %+v, the summary %q and the log %s", problems, health.Summary(problems), &log)
	}
	board.Observe(health.Saves, errors.New("full"))
	if got := health.Summary(board.Problems()); !strings.HasSuffix(got, ": full: see ssmonitor check") {
		t.Errorf("got %q", got)
	}
}

// TestIDsAreDocumented compares the constants, the texts for each, and findings.md.
func TestIDsAreDocumented(t *testing.T) {
	var known, documented []string
	for id, level := range health.Levels() {
		known = append(known, fmt.Sprintf("%s %t", id, level == health.Note))
	}
	for _, match := range find(t, "../../integration/findings.md", "(?m)^\\| `([a-z-]+)` \\| (note: )?[^|]+ \\|$") {
		documented = append(documented, fmt.Sprintf("%s %t", match[1], match[2] != ""))
	}
	if difference := cmp.Diff(known, documented); difference != "" {
		t.Errorf("findings.md differs from id.go (-known +documented)\n%s", difference)
	}
	for i, match := range find(t, "id.go", `ID += "(.+)"`) {
		if i >= len(known) || !strings.HasPrefix(known[i], match[1]+" ") {
			t.Errorf("%s: the kinds are not in the order of the constants", match[1])
		}
	}
}

func find(t *testing.T, path, pattern string) [][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
}
