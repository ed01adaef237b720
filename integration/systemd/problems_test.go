package systemd_test

import (
	"fmt"
	"strings"
	"testing"
)

// fill makes the file system of the agent's state full, or gives it room again.
func (b *box) fill(t *testing.T, full bool) {
	t.Helper()
	const filler = "/var/lib/ssmonitor/filler"
	if full {
		_, _ = b.attempt("dd", "if=/dev/zero", "of="+filler, "bs=64k") // fails at the end
		return
	}
	b.run(t, "rm", filler)
}

// waitForOutput waits until a command's output has the text.
func (b *box) waitForOutput(t *testing.T, text string, command ...string) {
	t.Helper()
	eventually(t, func() error {
		output, _ := b.attempt(command...)
		if !strings.Contains(output, text) {
			return fmt.Errorf("%v does not say %q:\n%s", command, text, output)
		}
		return nil
	})
}

// TestFullDisk has the state on a full disk: check, systemctl status and /healthz show it,
// until there is room.
func TestFullDisk(t *testing.T) {
	b := newServer(t)
	c := newClient(t, b, 8388)
	b.run(t, "systemctl", "stop", "ssmonitor.service")
	b.run(t, "mount", "-t", "tmpfs", "-o", "size=2m,mode=750", "tmpfs", "/var/lib/ssmonitor")
	b.run(t, "chown", "ssmonitor:ssmonitor", "/var/lib/ssmonitor")
	b.restartAgent(t, "interval: 1s\nsave-interval: 1s\n", "active")
	health := []string{"curl", "--silent", "--show-error", "--include", "--unix-socket", "/run/ssmonitor/ssmonitor.sock", "http://localhost/healthz"}
	b.waitForOutput(t, "SSMONITOR OK", "ssmonitor", "check", "--nagios")
	b.fill(t, true)
	eventually(t, func() error {
		c.exchangeAll(t, 1)
		if output, err := b.attempt("ssmonitor", "check", "--nagios"); err == nil || !strings.Contains(output, "CRITICAL - since 20") || !strings.Contains(output, "the totals can't be saved") {
			return fmt.Errorf("check says %s", output)
		}
		return nil
	})
	b.waitForOutput(t, "the totals can't be saved; counting continues", "systemctl", "show", "--value", "--property=StatusText", "ssmonitor.service")
	b.waitForOutput(t, "503 Service Unavailable", health...)
	b.waitForOutput(t, `"reason":"the totals can't be saved`, health...)

	b.fill(t, false)
	b.waitForOutput(t, "SSMONITOR OK", "ssmonitor", "check", "--nagios")
	b.waitForOutput(t, "counting 1 port", "systemctl", "show", "--value", "--property=StatusText", "ssmonitor.service")
	b.waitForOutput(t, "200 OK", health...)
}

// TestCheckSaysWhyTheServiceDied ends the services in several ways.
func TestCheckSaysWhyTheServiceDied(t *testing.T) {
	b := newServer(t)
	expect := func(t *testing.T, words ...string) {
		t.Helper()
		output, err := b.attempt("ssmonitor", "check", "--quiet")
		if err == nil || strings.Contains(output, "enable --now") {
			t.Errorf("got %v and\n%s", err, output)
		}
		for _, word := range words {
			if !strings.Contains(output, word) {
				t.Errorf("check does not say %q:\n%s", word, output)
			}
		}
	}
	t.Run("wrong settings", func(t *testing.T) {
		b.restartAgent(t, "interval: 5\n", "failed")
		expect(t, "ssmonitor.service failed: ", "interval", "then start it again: systemctl restart ssmonitor.service", "the reason is what is wrong above")
		b.write(t, settingsFile, "interval: 5s\n")
		expect(t, "ssmonitor.service failed: "+settingsFile+" had a mistake, and is correct by now", " start it: systemctl restart ssmonitor.service")
	})
	t.Run("what is setup's alone", func(t *testing.T) {
		b.restartAgent(t, "port: eighty\n", "active")
		expect(t, "key port: want a port number", "until then no setup runs")
	})
	b.write(t, settingsFile, "")
	t.Run("another agent", func(t *testing.T) {
		b.run(t, "systemctl", "stop", "ssmonitor.service")
		b.run(t, "systemd-run", "--unit=other", "--uid=ssmonitor", "--property=AmbientCapabilities=CAP_NET_ADMIN",
			"ssmonitor", "run", "--list", "/etc/ssmonitor/ports", "--state", "/var/lib/ssmonitor", "--socket", "", "--csv", "")
		b.waitForOutput(t, "msg=counting", "journalctl", "--no-pager", "--unit", "other.service")
		_, _ = b.attempt("systemctl", "start", "ssmonitor.service")
		expect(t, "ssmonitor.service failed: ", "is held by process", "end that process, if the service is to count: kill ")
		b.run(t, "systemctl", "stop", "other.service")
	})
	b.run(t, "mkdir", "-p", "/etc/systemd/system/ssmonitor.service.d")
	b.write(t, "/etc/systemd/system/ssmonitor.service.d/test.conf", "[Service]\nRestart=no\n")
	b.run(t, "systemctl", "daemon-reload")
	t.Run("signal", func(t *testing.T) {
		b.restartAgent(t, "", "active")
		b.run(t, "systemctl", "kill", "--signal=KILL", "ssmonitor.service")
		b.waitForAgent(t, "failed")
		expect(t, "ssmonitor.service failed: signal 9 (killed) ended it")
	})
	t.Run("watchdog", func(t *testing.T) {
		b.write(t, "/etc/systemd/system/ssmonitor.service.d/test.conf", "[Service]\nRestart=no\nWatchdogSec=2\n")
		b.run(t, "systemctl", "daemon-reload")
		b.restartAgent(t, "", "active")
		b.run(t, "systemctl", "kill", "--signal=STOP", "ssmonitor.service")
		b.waitForAgent(t, "failed")
		expect(t, "ssmonitor.service failed: it was stuck, and systemd's watchdog ended it")
	})
	t.Run("a unit that is not valid", func(t *testing.T) {
		b.run(t, "systemctl", "reset-failed", "ssmonitor.service")
		b.write(t, "/etc/systemd/system/ssmonitor.service.d/test.conf", "[Service]\nExecStart=\n")
		b.run(t, "systemctl", "daemon-reload")
		expect(t, "systemd can't use ssmonitor.service", "systemctl edit ssmonitor")
	})
	t.Run("no program", func(t *testing.T) {
		b.write(t, "/etc/systemd/system/ssmonitor.service.d/test.conf", "[Service]\nRestart=no\nExecStart=\nExecStart=/nonexistent\n")
		b.run(t, "systemctl", "daemon-reload")
		b.restartAgent(t, "", "failed")
		expect(t, "systemd could not start its program (status 203)")
	})
	t.Run("setup", func(t *testing.T) {
		b.run(t, "systemctl", "reset-failed", "ssmonitor.service")
		b.run(t, "rm", "/etc/systemd/system/ssmonitor.service.d/test.conf")
		b.run(t, "mkdir", "-p", "/etc/systemd/system/ssmonitor-setup.service.d")
		b.write(t, "/etc/systemd/system/ssmonitor-setup.service.d/test.conf", "[Service]\nRestart=no\n")
		b.run(t, "systemctl", "daemon-reload")
		b.restartAgent(t, "", "active")
		b.run(t, "systemctl", "restart", "ssmonitor-setup.service")
		b.run(t, "systemctl", "kill", "--signal=KILL", "ssmonitor-setup.service")
		b.waitForOutput(t, "ssmonitor-setup.service failed: signal 9 (killed) ended it", "ssmonitor", "check", "--quiet")
	})
}
