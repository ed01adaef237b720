package unit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ssmonitor/accounting/store"
)

// service is the agent's unit.
const service = "ssmonitor.service"

// ExplainHolder returns the error that the ledger is held, which says so if the holder is
// the agent's unit. procfs is /proc outside of tests.
func ExplainHolder(err error, procfs string) error {
	locked, ok := errors.AsType[*store.LockedError](err)
	if !ok || locked.PID == 0 {
		return err
	}
	groups, _ := os.ReadFile(filepath.Join(procfs, strconv.Itoa(locked.PID), "cgroup"))
	for line := range strings.Lines(string(groups)) {
		if filepath.Base(strings.TrimSpace(line)) == service {
			return fmt.Errorf("%w; it is the service, which runs already: see systemctl status ssmonitor and journalctl -u ssmonitor", err)
		}
	}
	return err
}
