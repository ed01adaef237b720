package agent

import (
	"io"
	"strconv"
	"testing"

	"ssmonitor/internal/settings"

	"golang.org/x/sys/unix"
)

// TestSourcesWithPasswordsAreNotDumped asks the kernel whether this process may
// dump core. The test restores that.
func TestSourcesWithPasswordsAreNotDumped(t *testing.T) {
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
	for what, change := range map[string]func(*settings.Settings){
		"1 ports":                  nil,
		"0 a configuration":        func(s *settings.Settings) { s.Shadowsocks = []string{"/a.json"} },
		"0 one of --server-config": func(s *settings.Settings) { s.ServerConfigs = []string{"/a.json"} },
	} {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		a := newTestAgent(t, io.Discard, change)
		_ = a.open(t.Context()) // there is no such configuration
		_ = a.close()
		if got := strconv.Itoa(dumpable()); got != what[:1] {
			t.Errorf("%s: got dumpable %s", what, got)
		}
	}
}
