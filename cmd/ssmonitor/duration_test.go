package main

import (
	"strings"
	"testing"
	"time"
)

func TestFormatDuration(t *testing.T) {
	tests := []struct {
		duration time.Duration
		want     string
	}{
		{0, "0s"},
		{2 * time.Second, "2s"},
		{10 * time.Second, "10s"},
		{90 * time.Second, "1m30s"},
		{10 * time.Minute, "10m"},
		{time.Hour, "1h"},
		{10 * time.Hour, "10h"},
		{time.Hour + time.Second, "1h0m1s"},
		{time.Hour + 30*time.Minute, "1h30m"},
		{250 * time.Millisecond, "250ms"},
		{-time.Minute, "-1m"},
	}
	for _, test := range tests {
		got := formatDuration(test.duration)
		if got != test.want {
			t.Errorf("formatDuration(%d) = %q, want %q", test.duration, got, test.want)
		}
		if parsed, err := time.ParseDuration(got); err != nil || parsed != test.duration {
			t.Errorf("%q is read as %d, %v", got, parsed, err)
		}
	}
}

func TestHelpPrintsDurationsAsPeopleWriteThem(t *testing.T) {
	_, help, _ := call(t, "run", "--help")
	for _, want := range []string{"(default: 2s)", "(default: 10s)"} {
		if !strings.Contains(strings.Join(strings.Fields(help), " "), want) {
			t.Errorf("run --help has no %q:\n%s", want, help)
		}
	}
}
