package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"syscall"
	"time"
)

// socketMode is what the agent gives its socket: who is in the group connects.
const socketMode = 0o660

// Socket looks at the agent's socket: that it is one, and who may connect. A
// path where nothing is gives no finding: whether it should be there is known
// by whether an agent runs.
func (m *Machine) Socket(path, group string) []Finding {
	info, err := os.Lstat(m.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []Finding{Failure(err, "see to it that the directory can be read")}
	case info.Mode().Type() != fs.ModeSocket:
		return []Finding{{Wrong, fmt.Sprintf("%s is not a socket (%s)", path, info.Mode()),
			"remove it, or name another path with --socket"}}
	}
	wanted, err := m.Group(group)
	if errors.As(err, new(user.UnknownGroupError)) {
		return []Finding{{Wrong, fmt.Sprintf("there is no group %s: only the agent's own group and root read from the socket %s", group, path),
			"make it: groupadd --system " + group + "\nand start the agent again: systemctl restart ssmonitor"}}
	}
	if err != nil {
		return []Finding{Failure(err, "mend what looks up groups: see nsswitch.conf(5)")}
	}
	status, known := info.Sys().(*syscall.Stat_t)
	if mode := info.Mode().Perm(); !known || mode != socketMode || status.Gid != wanted {
		return []Finding{{Wrong, fmt.Sprintf("the socket %s has mode %#o and is not for group %s alone", path, mode, group),
			"start the agent again: systemctl restart ssmonitor"}}
	}
	return []Finding{{OK, fmt.Sprintf("socket %s: who is in group %s may read", path, group), ""}}
}

// CSV looks at the age of the CSV file, of an agent that writes it once in the
// interval. Where none runs there should be none.
func (m *Machine) CSV(path string, interval time.Duration, running bool) []Finding {
	info, err := os.Stat(m.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !running:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{{Wrong, fmt.Sprintf("the agent writes no CSV file %s", path),
			fmt.Sprintf("if it was started just now, wait: the first is written after one interval, %s\n", interval) +
				"else see its log: journalctl --unit ssmonitor"}}
	case err != nil:
		return []Finding{Failure(err, "see to it that the directory can be read")}
	}
	age := m.Now.Sub(info.ModTime()).Truncate(time.Second)
	switch {
	case age > max(3*interval, 10*time.Second) && running:
		return []Finding{{Wrong, fmt.Sprintf("the CSV file %s is %s old", path, age),
			"see why in the agent's log: journalctl --unit ssmonitor"}}
	case age > max(3*interval, 10*time.Second):
		return []Finding{{Wrong, fmt.Sprintf("the CSV file %s is %s old: no agent writes it", path, age),
			"start the agent: systemctl start ssmonitor\nor remove the file: rm " + path}}
	}
	findings := []Finding{{OK, fmt.Sprintf("CSV file %s is %s old", path, max(age, 0)), ""}}
	if strings.HasPrefix(path, "/tmp/") {
		findings = append(findings, Finding{Note,
			"services with a /tmp of their own (PrivateTmp=), such as Debian's Netdata, don't see " + path,
			"for those leave --csv at its default"})
	}
	return findings
}
