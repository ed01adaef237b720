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

// socketMode is the mode that the agent gives its socket: the group may connect.
const socketMode = 0o660

// Socket checks that the agent's socket is one and that the group may connect. It
// returns nothing if the path does not exist: whether it should is known from
// whether an agent runs.
func (m *Machine) Socket(path, group string) []Finding {
	info, err := os.Lstat(m.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []Finding{failure(AgentSocket, path, err, "make the directory readable")}
	case info.Mode().Type() != fs.ModeSocket:
		return []Finding{{AgentSocket, Wrong, path, fmt.Sprintf("%s is not a socket (%s)", path, info.Mode()),
			"remove it, or name another path with --socket"}}
	}
	gid, err := m.Group(group)
	if errors.As(err, new(user.UnknownGroupError)) {
		return []Finding{{AgentSocket, Wrong, path, fmt.Sprintf("there is no group %s: only root and the agent's own group may read from the socket %s", group, path),
			"create it: groupadd --system " + group + "\nand restart the agent: systemctl restart ssmonitor"}}
	}
	if err != nil {
		return []Finding{failure(AgentSocket, path, err, "repair the look-up of groups: see nsswitch.conf(5)")}
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if mode := info.Mode().Perm(); ok && (mode != socketMode || status.Gid != gid) {
		return []Finding{{AgentSocket, Wrong, path, fmt.Sprintf("the socket %s has mode %#o and group %d: want mode %#o and group %s", path, mode, status.Gid, socketMode, group),
			"restart the agent: systemctl restart ssmonitor"}}
	}
	return []Finding{{AgentSocket, OK, path, fmt.Sprintf("socket %s: members of group %s may read", path, group), ""}}
}

// CSV checks the age of the CSV file, which the agent writes once per interval.
// If no agent is running there should be no file.
func (m *Machine) CSV(path string, interval time.Duration, running bool) []Finding {
	info, err := os.Stat(m.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !running:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		remedy := fmt.Sprintf("if it was started just now, wait: the first is written after one interval, %s\n", interval.Round(time.Second/10))
		if strings.HasPrefix(path, "/tmp/") {
			remedy += "if it runs as ssmonitor.service, it has a /tmp of its own (PrivateTmp=): use a path in /run/ssmonitor\n"
		}
		return []Finding{{CSVFile, Wrong, path, fmt.Sprintf("the agent writes no CSV file %s", path), remedy + "else " + seeLog}}
	case err != nil:
		return []Finding{failure(CSVFile, path, err, "make the directory readable")}
	}
	age := m.Now.Sub(info.ModTime()).Truncate(time.Second)
	switch {
	case age > max(3*interval, 10*time.Second) && running:
		return []Finding{{CSVFile, Wrong, path, fmt.Sprintf("the CSV file %s is %s old", path, age),
			seeLog}}
	case age > max(3*interval, 10*time.Second):
		return []Finding{{CSVFile, Wrong, path, fmt.Sprintf("the CSV file %s is %s old: no agent writes it", path, age),
			"start the agent: systemctl start ssmonitor\nor remove the file: rm " + path}}
	}
	findings := []Finding{{CSVFile, OK, path, fmt.Sprintf("CSV file %s is %s old", path, max(age, 0)), ""}}
	if strings.HasPrefix(path, "/tmp/") {
		findings = append(findings, Finding{CSVPrivateTmp, Note, path,
			"services with a private /tmp (PrivateTmp=), such as Debian's Netdata, don't see " + path,
			"if one of them reads the file, leave --csv at its default"})
	}
	return findings
}
