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

	"ssmonitor/internal/finding"
	"ssmonitor/internal/serving"
	"ssmonitor/output/api"
)

// checkSocket checks that the agent's socket is one and that the group may connect. It
// returns nothing if the path does not exist: whether it should is known from
// whether an agent runs.
func (m *Machine) checkSocket(path, group string) []finding.Finding {
	info, err := os.Lstat(m.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []finding.Finding{m.failure(finding.AgentSocket, path, err, "make the directory readable")}
	case info.Mode().Type() != fs.ModeSocket:
		return []finding.Finding{{ID: finding.AgentSocket, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("%s is not a socket (%s)", path, info.Mode()),
			Remedy: "remove it, or name another path with --socket"}}
	}
	owner, err := m.LookupGroup(group)
	if errors.As(err, new(user.UnknownGroupError)) {
		return []finding.Finding{{ID: finding.AgentSocket, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("there is no group %s: only root and the agent's own group may read from the socket %s", group, path),
			Remedy: "create it: groupadd --system " + group + "\nand restart the agent: systemctl restart ssmonitor"}}
	}
	if err != nil {
		return []finding.Finding{m.failure(finding.AgentSocket, path, err, "repair the look-up of groups: see nsswitch.conf(5)")}
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if mode := info.Mode().Perm(); ok && (mode != serving.SocketMode || fmt.Sprint(status.Gid) != owner.Gid) {
		return []finding.Finding{{ID: finding.AgentSocket, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("the socket %s has mode %#o and group %d: want mode %#o and group %s", path, mode, status.Gid, serving.SocketMode, group),
			Remedy: "restart the agent: systemctl restart ssmonitor"}}
	}
	return []finding.Finding{{ID: finding.AgentSocket, Level: finding.OK, Subject: path, Message: fmt.Sprintf("socket %s: members of group %s may read", path, group)}}
}

// checkCSV checks the age of the CSV file, which the agent writes once per interval.
// If no agent is running there should be no file, and a new one has not written it yet.
func (m *Machine) checkCSV(path string, interval time.Duration, running, isNew bool) []finding.Finding {
	info, err := os.Stat(m.path(path))
	stale := err == nil && m.Now.Sub(info.ModTime()) > api.StaleAfter(interval)
	switch {
	case isNew && (stale || errors.Is(err, fs.ErrNotExist)):
		return []finding.Finding{{ID: finding.CSVFile, Level: finding.Note, Subject: path,
			Message: fmt.Sprintf("the agent was started just now: it writes the CSV file %s after its first interval, %s", path, interval.Round(time.Second/10))}}
	case errors.Is(err, fs.ErrNotExist) && !running:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		remedy := seeLog
		if strings.HasPrefix(path, "/tmp/") {
			remedy = "if it runs as ssmonitor.service, it has a /tmp of its own (PrivateTmp=): use a path in /run/ssmonitor\nelse " + seeLog
		}
		return []finding.Finding{{ID: finding.CSVFile, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("the agent writes no CSV file %s", path), Remedy: remedy}}
	case err != nil:
		return []finding.Finding{m.failure(finding.CSVFile, path, err, "make the directory readable")}
	}
	age := m.Now.Sub(info.ModTime()).Truncate(time.Second)
	if stale {
		f := finding.Finding{ID: finding.CSVFile, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("the CSV file %s is %s old", path, age), Remedy: seeLog}
		if !running {
			f.Message += ": no agent writes it"
			f.Remedy = "start the agent\nor remove the file: rm " + path
		}
		return []finding.Finding{f}
	}
	findings := []finding.Finding{{ID: finding.CSVFile, Level: finding.OK, Subject: path, Message: fmt.Sprintf("CSV file %s is %s old", path, max(age, 0))}}
	if strings.HasPrefix(path, "/tmp/") {
		findings = append(findings, finding.Finding{ID: finding.CSVPrivateTmp, Level: finding.Note, Subject: path,
			Message: "services with a private /tmp (PrivateTmp=), such as Debian's Netdata, don't see " + path,
			Remedy:  "if one of them reads the file, leave --csv at its default"})
	}
	return findings
}
