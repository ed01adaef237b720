package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPasswordsAreNotDumped asks the kernel whether this process may dump core after
// commands that read configurations, or none. The test restores that.
func TestPasswordsAreNotDumped(t *testing.T) {
	dumpable := func() int {
		t.Helper()
		value, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	before := dumpable()
	defer func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0) }()
	for command, want := range map[string]int{
		"run --port 20000":             1,
		"run --shadowsocks /no/file":   0,
		"run --server-config /no/file": 0,
		"setup --shadowsocks /no/file": 0,
		"setup --follow --dry-run":     0,
		"check --shadowsocks /no/file": 0,
	} {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		// There can be no such directory.
		arguments := append(strings.Fields(command), "--config", "none", "--state", "/dev/null/state")
		if status, _, stderr := call(t, arguments...); status == exitDone {
			t.Errorf("%s: it succeeds: %s", command, stderr)
		}
		if got := dumpable(); got != want {
			t.Errorf("%s: got dumpable %d, want %d", command, got, want)
		}
	}
}
