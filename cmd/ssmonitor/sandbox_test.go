package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestMain runs the program itself for tests that start it as a process, and
// otherwise all tests in the sandbox.
func TestMain(m *testing.M) {
	if os.Getenv("SSMONITOR_AS_PRODUCT") != "" {
		main()
	}
	os.Exit(testkit.Sandbox{}.Main(m))
}

// TestDefaultPathsAreOutOfReach runs commands without the flags that keep the
// other tests away from the places of an installed ssmonitor.
func TestDefaultPathsAreOutOfReach(t *testing.T) {
	newPlace(t) // the ruleset is the test's own as well
	status, _, stderr := call(t, "setup", "--port", "20000")
	if status != exitFailed || !strings.Contains(stderr, "read-only file system") {
		t.Errorf("setup: got status %d, want %d and \"read-only file system\" in\n%s", status, exitFailed, stderr)
	}
	if status, _, stderr := call(t, "setup", "--dry-run", "--port", "20000"); status != exitDone {
		t.Errorf("setup --dry-run: got status %d, want %d\n%s", status, exitDone, stderr)
	}
	for _, path := range []string{"/etc/ssmonitor", "/var/lib/ssmonitor"} {
		if entries, err := os.ReadDir(path); err != nil && !errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
			t.Errorf("%s: got %v, %v; want nothing there", path, entries, err)
		}
	}
}
