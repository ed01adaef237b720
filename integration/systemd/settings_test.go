package systemd_test

import (
	"fmt"
	"strings"
	"testing"

	"ssmonitor/accounting"

	"golang.org/x/sys/unix"
)

const settingsFile = "/etc/ssmonitor/config.yaml"

// restartAgent restarts the agent with the settings. It returns what the agent
// logs until systemd reports the state.
func (b *box) restartAgent(t *testing.T, settings, state string) string {
	t.Helper()
	b.write(t, settingsFile, settings)
	_, _ = b.attempt("systemctl", "restart", "ssmonitor.service") // fails if the agent does
	b.waitForAgent(t, state)
	journal := b.journal(t, "ssmonitor.service")
	return journal[max(0, strings.LastIndex(journal, "Starting ssmonitor.service")):]
}

// TestSettingsThatTheUnitForbids expects an error that names the remedy, and no
// restarts. Then it applies the remedy.
func TestSettingsThatTheUnitForbids(t *testing.T) {
	b := newServer(t)
	b.run(t, "systemctl", "stop", "ssmonitor-setup.service")
	b.run(t, "install", "-d", "-o", "ssmonitor", "/srv/ssmonitor")
	for _, test := range []struct {
		name, settings string
		words          []string
	}{
		{"misspelled key", "intervall: 5s\n", []string{settingsFile, "line 1, column 1", "intervall"}},
		{"socket", "socket: /srv/ssmonitor/sock\n", []string{"/srv/ssmonitor/sock", "use a path there", "ReadWritePaths=/srv/ssmonitor"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			journal := b.restartAgent(t, test.settings, "failed")
			for _, word := range test.words {
				if !strings.Contains(journal, word) {
					t.Errorf("the agent does not name %q:\n%s", word, journal)
				}
			}
			// Before a restart, the unit would be "auto-restart" for RestartSec=2.
			if state, restarts, status := b.agentProperty(t, "SubState"), b.agentProperty(t, "NRestarts"), b.agentProperty(t, "ExecMainStatus"); state != "failed" || restarts != "0" || status != "2" {
				t.Errorf("the agent is %s after %s restarts, its status is %s, want failed after none with 2", state, restarts, status)
			}
		})
	}

	t.Run("csv in the private /tmp", func(t *testing.T) {
		journal := b.restartAgent(t, "csv: /tmp/ssmonitor.tmp\n", "active")
		if !strings.Contains(journal, "private /tmp") || !strings.Contains(journal, "use a path in /run/ssmonitor") {
			t.Errorf("the agent does not say that nobody sees the file:\n%s", journal)
		}
		eventually(t, func() error {
			output, err := b.attempt("ssmonitor", "check", "--quiet")
			if err == nil || !strings.Contains(output, "no CSV file /tmp/ssmonitor.tmp") || !strings.Contains(output, "PrivateTmp=") {
				return fmt.Errorf("check does not report it: %w\n%s", err, output)
			}
			return nil
		})
	})
	t.Run("csv outside", func(t *testing.T) {
		journal := b.restartAgent(t, "csv: /srv/ssmonitor/csv\n", "active")
		if !strings.Contains(journal, "level=ERROR") || !strings.Contains(journal, "ReadWritePaths=/srv/ssmonitor") {
			t.Errorf("the agent does not say that it can't write:\n%s", journal)
		}
	})

	t.Run("state outside", func(t *testing.T) {
		journal := b.restartAgent(t, "state: /srv/ssmonitor\n", "active")
		if !strings.Contains(journal, `msg="the totals can't be saved" error="writing /srv/ssmonitor:`) || !strings.Contains(journal, "ReadWritePaths=/srv/ssmonitor") {
			t.Errorf("the agent does not say what to do:\n%s", journal)
		}
		if journal := b.restartAgent(t, "state: /srv/missing\n", "active"); !strings.Contains(journal, "/srv/missing") {
			t.Errorf("the agent does not name the directory that can't be created:\n%s", journal)
		}
	})

	t.Run("listen, as an older version had it", func(t *testing.T) {
		journal := b.restartAgent(t, "listen: 127.0.0.1:9924\nweb-config: /srv/missing.yml\n", "active")
		if !strings.Contains(journal, "level=WARN") || !strings.Contains(journal, "systemctl enable --now ssmonitor-metrics.socket") {
			t.Errorf("the agent does not say what to do:\n%s", journal)
		}
	})

	t.Run("with what the errors say", func(t *testing.T) {
		b.write(t, "/etc/systemd/system/ssmonitor.service.d/outside.conf", "[Service]\nReadWritePaths=/srv/ssmonitor\n")
		b.run(t, "systemctl", "daemon-reload")
		journal := b.restartAgent(t, "socket: /srv/ssmonitor/sock\ncsv: /srv/ssmonitor/csv\nstate: /srv/ssmonitor\n", "active")
		if strings.Contains(journal, "level=ERROR") {
			t.Errorf("the agent logs:\n%s", journal)
		}
		eventually(t, func() error {
			_, err := b.attempt("curl", "--silent", "--show-error", "--fail", "--unix-socket", "/srv/ssmonitor/sock", "http://ssmonitor/v1/ports")
			return err
		})
		eventually(t, func() error { _, err := b.attempt("cat", "/srv/ssmonitor/csv"); return err })
		newClient(t, b, 8388).exchangeAll(t, 1)
		b.run(t, "systemctl", "stop", "ssmonitor.service")
		if used, err := b.usage("root"); err != nil || used.In == (accounting.Count{}) {
			t.Errorf("by hand the usage is %+v, %v", used, err)
		}
	})
}

// TestAgentOpensNoFileWithPasswords watches the files with passwords while the
// agent starts and reads its sources again. They are readable for everybody, so
// that nothing but the agent itself keeps it from opening them.
func TestAgentOpensNoFileWithPasswords(t *testing.T) {
	const named, forced = "/srv/shadowsocks/named.json", "/srv/shadowsocks/forced.json"
	b := newServer(t)
	b.run(t, "systemctl", "stop", "ssmonitor-setup.service")
	b.write(t, named, serverConfiguration(8389))
	b.write(t, forced, serverConfiguration(8390))
	b.write(t, settingsFile, fmt.Sprintf("shadowsocks: [%s]\nserver-config: [%s]\nport: [8391]\n", named, forced))
	b.run(t, "ssmonitor", "setup")
	b.waitForPorts(t, 8388, 8389, 8390, 8391)
	b.write(t, settingsFile, fmt.Sprintf("shadowsocks: [%s]\nserver-config: [%s]\nport: [8391, 8392]\n", named, forced))

	opened := b.watchOpened(t, configurationFile, named, forced)
	before := b.mainPID(t)
	b.run(t, "systemctl", "restart", "ssmonitor.service")
	b.waitForSuccessor(t, before)
	b.waitForPorts(t, 8388, 8389, 8390, 8391)
	b.run(t, "systemctl", "reload", "ssmonitor.service")
	eventually(t, func() error {
		if !strings.Contains(b.journal(t, "ssmonitor.service"), "applied the list of ports") {
			return fmt.Errorf("the agent has not read its sources again")
		}
		return nil
	})
	if paths := opened(); len(paths) > 0 {
		t.Errorf("the agent has opened %q", paths)
	}
	b.run(t, "ssmonitor", "setup")
	if paths := opened(); len(paths) != 3 {
		t.Errorf("setup has opened %q, want all three: the test can't see it", paths)
	}
}

// watchOpened watches files of the box. The function that it returns returns
// those that were opened since the last call.
func (b *box) watchOpened(t *testing.T, paths ...string) func() []string {
	t.Helper()
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(watch) })
	for _, path := range paths {
		if _, err := unix.InotifyAddWatch(watch, b.path(path), unix.IN_OPEN); err != nil {
			t.Fatalf("watching %s: %v", path, err)
		}
	}
	return func() []string {
		seen := make([]byte, 64<<10)
		n, err := unix.Read(watch, seen)
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		var opened []string
		// Events of files have no name: each is of the same size, and begins with
		// the number of its watch, from 1.
		for i := 0; i+unix.SizeofInotifyEvent <= n; i += unix.SizeofInotifyEvent {
			if path := paths[seen[i]-1]; len(opened) == 0 || opened[len(opened)-1] != path {
				opened = append(opened, path)
			}
		}
		return opened
	}
}
