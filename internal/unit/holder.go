package unit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
)

// service is the agent's unit.
const service = "ssmonitor.service"

// ExplainHolder returns the error that the ledger is held, or that another agent runs,
// which says so if that is the agent's unit. procfs is /proc outside of tests.
func ExplainHolder(err error, procfs string) error {
	pid := 0
	if locked, ok := errors.AsType[*store.LockedError](err); ok {
		pid = locked.PID
	} else if running, ok := errors.AsType[*presence.RunningError](err); ok {
		pid = running.PID
	}
	if pid == 0 {
		return err
	}
	groups, _ := os.ReadFile(filepath.Join(procfs, strconv.Itoa(pid), "cgroup"))
	for line := range strings.Lines(string(groups)) {
		if filepath.Base(strings.TrimSpace(line)) == service {
			return fmt.Errorf("%w; it is the service, which runs already: see systemctl status ssmonitor and journalctl -u ssmonitor", err)
		}
	}
	return err
}
