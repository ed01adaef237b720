package systemd_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ssmonitor/integration/portlist"
)

// TestTheUnitAsksRunningServers runs servers as other units, with configurations outside
// of the usual places. What only root can see, the unit keeps: a setup by hand and the
// unit agree, also after a reboot, and when some servers have ended.
func TestTheUnitAsksRunningServers(t *testing.T) {
	b := newBox(t, map[string]string{
		"/srv/odd/a.json":                   serverConfiguration(20000),
		"/srv/secret/b.json":                serverConfiguration(20001),
		"/etc/systemd/system/plain.service": "[Service]\nExecStart=ss-server -c /srv/odd/a.json\n",
		// What a user's server says without a file that root wrote for it does not count.
		"/etc/systemd/system/dropped.service": "[Service]\nWorkingDirectory=/srv/secret\nExecStart=ss-server -a nobody -c b.json\n",
		// Only root sees in which directory the file is.
		"/srv/relative/c.json":                 serverConfiguration(20002),
		"/srv/other/c.json":                    serverConfiguration(20003),
		"/etc/systemd/system/relative.service": "[Service]\nWorkingDirectory=/srv/relative\nExecStart=ss-server -c c.json\n",
		"/etc/systemd/system/other.service":    "[Service]\nWorkingDirectory=/srv/other\nExecStart=ss-server -c c.json\n",
	})
	b.install(t, olderVersion)
	if err := os.Chmod(b.path("/srv/secret"), 0o700); err != nil { //nolint:gosec // a directory
		t.Fatal(err)
	}
	first := b.setupPID(t)
	b.run(t, "systemctl", "start", "plain.service")
	const named = "20000 from process ss-server: /srv/odd/a.json"
	relative := []string{"20002 from process ss-server: /srv/relative/c.json", "20003 from process ss-server: /srv/other/c.json"}
	all := append([]string{named}, relative...)
	b.waitForEntries(t, named)
	b.waitForPorts(t, 20000)
	if now := b.setupPID(t); now == first {
		t.Error("the unit did not start again, and reads a file that its enclosure hides")
	}
	b.run(t, "systemctl", "start", "dropped.service")
	eventually(t, func() error {
		pid := strings.TrimSpace(b.run(t, "systemctl", "show", "--value", "--property=MainPID", "dropped.service"))
		if user, err := b.attempt("stat", "-c", "%U", "/proc/"+pid); err != nil || user != "nobody\n" {
			return fmt.Errorf("the server runs as %q: %w", user, err)
		}
		return nil
	})
	b.run(t, "systemctl", "start", "relative.service", "other.service")
	if text := b.run(t, "ssmonitor", "setup"); !strings.Contains(text, "of user nobody) listens on 20001") {
		t.Errorf("no note on the server of nobody:\n%s", text)
	}
	if err := b.expectEntries(all...); err != nil {
		t.Fatal(err)
	}
	b.run(t, "systemctl", "restart", "ssmonitor-setup.service")
	b.run(t, "systemctl", "reload", "ssmonitor-setup.service")
	b.write(t, "/srv/odd/a.json", serverConfiguration(19999)) // the server goes on with what it has read
	b.waitForEntries(t, append([]string{strings.Replace(named, "20000", "19999", 1)}, relative...)...)
	b.write(t, "/srv/odd/a.json", serverConfiguration(20000))
	b.waitForEntries(t, all...)
	b.write(t, "/srv/relative/c.json", serverConfiguration(20004))
	moved := []string{named, all[2], strings.Replace(all[1], "20002", "20004", 1)}
	b.waitForEntries(t, moved...)
	b.run(t, "systemctl", "stop", "plain.service", "relative.service", "dropped.service") // one of several stays
	b.run(t, "systemctl", "restart", "ssmonitor-setup.service")
	b.waitForEntries(t, moved...)
	b.run(t, "systemctl", "stop", "other.service")
	b.run(t, "systemctl", "restart", "ssmonitor-setup.service")
	b.waitForEntries(t, moved...)
}

// waitForEntries waits until the list has these ports with their sources.
func (b *box) waitForEntries(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, func() error { return b.expectEntries(want...) })
}

func (b *box) expectEntries(want ...string) error {
	entries, err := portlist.Read(b.path("/etc/ssmonitor/ports"))
	if err != nil {
		return err
	}
	var got []string
	for _, entry := range entries {
		got = append(got, fmt.Sprintf("%d from %s", entry.Number, strings.Join(entry.Sources, ", ")))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("the list has %q, want %q", got, want)
	}
	return nil
}
