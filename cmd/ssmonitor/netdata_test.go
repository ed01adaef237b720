package main

import (
	"errors"
	"strings"
	"testing"

	"ssmonitor/output"
)

func TestParseCharts(t *testing.T) {
	for text, want := range map[string]int{"all": output.AllPorts, "none": 0, "0": 0, "1": 1, defaultCharts: 100, "65535": 65535} {
		if got, err := parseCharts(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "many", "-1", "1.5", "65536", "All", " 1"} {
		if _, err := parseCharts(text); !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), "want a number of ports, such as 100, or all or none") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if status, _, stderr := call(t, "netdata", "--charts", "many"); status != exitUsage || !strings.Contains(stderr, `charts "many"`) {
		t.Errorf("got status %d and %q", status, stderr)
	}
}
