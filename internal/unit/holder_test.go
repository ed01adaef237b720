package unit

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
	"ssmonitor/internal/testkit"
)

func TestExplainHolder(t *testing.T) {
	for _, test := range []struct {
		name, groups string
		err          error
		service      bool
	}{
		{"the unit", "0::/system.slice/ssmonitor.service\n", &store.LockedError{PID: 42}, true},
		{"the unit beside control groups of version 1", "5:pids:/\n1:name=systemd:/system.slice/ssmonitor.service\n0::/\n", &store.LockedError{PID: 42}, true},
		{"the unit, with another state directory", "0::/system.slice/ssmonitor.service\n", &presence.RunningError{PID: 42}, true},
		{"a shell", "0::/user.slice/session-1.scope\n", &store.LockedError{PID: 42}, false},
		{"a unit of another name", "0::/system.slice/not-ssmonitor.service\n", &store.LockedError{PID: 42}, false},
		{"another process", "0::/system.slice/ssmonitor.service\n", &store.LockedError{PID: 43}, false},
		{"an unknown process", "0::/system.slice/ssmonitor.service\n", &store.LockedError{}, false},
		{"another error", "0::/system.slice/ssmonitor.service\n", errors.New("no space"), false},
	} {
		procfs := t.TempDir()
		testkit.WriteFile(t, filepath.Join(procfs, "42/cgroup"), test.groups)
		err := ExplainHolder(test.err, procfs)
		if got := strings.Contains(err.Error(), "journalctl -u ssmonitor"); got != test.service || !errors.Is(err, test.err) {
			t.Errorf("%s: got %q", test.name, err)
		}
	}
}
