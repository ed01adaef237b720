package systemd_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

// install installs a version of the package in the box.
func (b *box) install(t *testing.T, version string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testkit.SandboxDirectory(), "ssmonitor_"+version+"_*.deb"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("packages of version %s: %v, %v", version, paths, err)
	}
	b.copyIn(t, paths...)
	b.run(t, "dpkg", "--install", filepath.Join("/root", filepath.Base(paths[0])))
}

// newServer boots a box with shadowsocks-libev at port 8388 and the package
// installed, and connects it.
func newServer(t *testing.T) *box {
	t.Helper()
	b := newBox(t, map[string]string{configurationFile: serverConfiguration(8388)})
	b.connect(t)
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	b.run(t, "systemctl", "start", "shadowsocks-libev.service")
	return b
}

// agentProperty returns a property of the agent's unit.
func (b *box) agentProperty(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(b.run(t, "systemctl", "show", "--value", "--property="+name, "ssmonitor.service"))
}

// mainPID returns the agent's process in the box.
func (b *box) mainPID(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(b.agentProperty(t, "MainPID"))
	if err != nil || pid == 0 {
		t.Fatalf("the agent does not run: %v\n%s", err, b.journal(t, "ssmonitor.service"))
	}
	return pid
}

// expectSameAgent fails the test if another process is the agent.
func (b *box) expectSameAgent(t *testing.T, before int) {
	t.Helper()
	if now := b.mainPID(t); now != before {
		t.Errorf("the agent was restarted: process %d instead of %d", now, before)
	}
}

// waitForAgent waits until systemd reports the state for the agent.
func (b *box) waitForAgent(t *testing.T, state string) {
	t.Helper()
	eventually(t, func() error {
		if now := b.agentProperty(t, "ActiveState"); now != state {
			return fmt.Errorf("the agent is %s", now)
		}
		return nil
	})
}

// waitForSuccessor waits until another process is the agent and is ready.
func (b *box) waitForSuccessor(t *testing.T, before int) {
	t.Helper()
	eventually(t, func() error {
		if pid := b.agentProperty(t, "MainPID"); pid == "0" || pid == strconv.Itoa(before) {
			return fmt.Errorf("the agent is process %s, before it was %d", pid, before)
		}
		return nil
	})
	b.waitForAgent(t, "active")
}

// filtersOfTheUnit returns how many seccomp filters systemd itself sets for the
// agent. It runs another program under the restrictions of the agent's unit.
func (b *box) filtersOfTheUnit(t *testing.T) (count int) {
	t.Helper()
	b.run(t, "sh", "-c", `sed '/^Type=/d; /Directory/d; /^Restart/d; /^WatchdogSec=/d; /^ExecReload=/d
		s|^ExecStart=.*|Type=oneshot\nExecStart=/bin/grep ^Seccomp_filters: /proc/self/status|' \
		/usr/lib/systemd/system/ssmonitor.service >/etc/systemd/system/filters.service`)
	b.run(t, "systemctl", "daemon-reload")
	b.run(t, "systemctl", "start", "filters.service")
	eventually(t, func() error {
		_, after, _ := strings.Cut(b.journal(t, "filters.service"), "Seccomp_filters:")
		_, err := fmt.Sscan(after, &count)
		return err
	})
	return count
}

func TestServiceCountsWhatClientsUse(t *testing.T) {
	b := newServer(t)
	c := newClient(t, b, 8388)
	c.exchangeAll(t, 20)
	b.expectExact(t)

	t.Run("as its own user with one capability", func(t *testing.T) {
		status := b.run(t, "cat", fmt.Sprintf("/proc/%d/status", b.mainPID(t)))
		user := strings.TrimSpace(b.run(t, "id", "--user", "ssmonitor"))
		const netAdmin = "0000000000001000"
		for _, want := range []string{
			"Uid:\t" + user + "\t" + user + "\t" + user + "\t" + user,
			"CapInh:\t" + netAdmin, "CapPrm:\t" + netAdmin, "CapEff:\t" + netAdmin, "CapBnd:\t" + netAdmin,
			"NoNewPrivs:\t1", "Seccomp:\t2",
		} {
			if !strings.Contains(status, want+"\n") {
				t.Errorf("the agent's status lacks %q:\n%s", want, status)
			}
		}
	})

	t.Run("with a seccomp filter of its own on each thread", func(t *testing.T) {
		threads := b.run(t, "sh", "-c", fmt.Sprintf("grep -h ^Seccomp_filters: /proc/%d/task/*/status | sort -u", b.mainPID(t)))
		if unit := b.filtersOfTheUnit(t); threads != fmt.Sprintf("Seccomp_filters:\t%d\n", unit+1) {
			t.Errorf("the unit sets %d filters, and the agent's threads have\n%s", unit, threads)
		}
	})

	t.Run("and a port that is added", func(t *testing.T) {
		agent := b.mainPID(t)
		b.write(t, secondConfigurationFile, serverConfiguration(8389))
		b.waitForPorts(t, 8388, 8389)
		b.run(t, "systemctl", "start", "shadowsocks-libev-server@second.service")
		second := newClient(t, b, 8389)
		second.exchangeAll(t, 1)
		b.expectExact(t)
		eventually(t, func() error { // setup counts it before the agent knows it
			rates, err := b.attempt("cat", "/run/ssmonitor/ssmonitor.csv")
			if err == nil && !strings.Contains(rates, "\n8389,") {
				err = fmt.Errorf("the agent does not publish port 8389 but\n%s", rates)
			}
			return err
		})
		b.expectSameAgent(t, agent)
	})

	t.Run("and a port that changes", func(t *testing.T) {
		b.write(t, secondConfigurationFile, serverConfiguration(8390))
		b.waitForPorts(t, 8388, 8390)
		b.run(t, "systemctl", "restart", "shadowsocks-libev-server@second.service")
		third := newClient(t, b, 8390)
		third.exchangeAll(t, 1)
		b.expectExact(t)
	})

	t.Run("with a clean journal", func(t *testing.T) {
		for _, unit := range []string{"ssmonitor.service", "ssmonitor-setup.service"} {
			journal := b.journal(t, unit)
			if complaint := regexp.MustCompile(`(?mi)^.*(level=(warn|error)|fail|panic|denied|not permitted).*$`).FindString(journal); complaint != "" {
				t.Errorf("the journal of %s is not clean: %s\n%s", unit, complaint, journal)
			}
		}
		if failed := b.run(t, "systemctl", "--failed", "--plain", "--no-legend"); failed != "" {
			t.Errorf("units failed:\n%s", failed)
		}
	})

	t.Run("and reports it", func(t *testing.T) {
		if status := b.agentProperty(t, "StatusText"); !strings.Contains(status, "2 ports") {
			t.Errorf("the status is %q", status)
		}
	})

	t.Run("and keeps the passwords out", func(t *testing.T) { b.expectNoPassword(t) })
}

// waitForPorts waits until the agent counts these ports in the kernel.
func (b *box) waitForPorts(t *testing.T, ports ...int) {
	t.Helper()
	eventually(t, func() error {
		table, err := b.attempt("nft", "list", "map", "inet", "ssmonitor", "ports-in")
		if err != nil {
			return err
		}
		for _, port := range ports {
			if !strings.Contains(table, fmt.Sprintf("tcp . %d :", port)) {
				return fmt.Errorf("port %d is not counted:\n%s", port, table)
			}
		}
		if counted := strings.Count(table, "tcp . "); counted != len(ports) {
			return fmt.Errorf("%d ports are counted, not %v:\n%s", counted, ports, table)
		}
		return nil
	})
}

func TestTotalsAreExactWhateverHappensToTheAgent(t *testing.T) {
	b := newServer(t)
	b.write(t, "/etc/systemd/system/ssmonitor.service.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
	b.run(t, "systemctl", "daemon-reload")
	t.Run("running", func(t *testing.T) { // until its client ends
		c := newClient(t, b, 8388)
		signal := func(signal syscall.Signal) func(t *testing.T) {
			return func(t *testing.T) {
				b.run(t, "kill", fmt.Sprintf("-%d", signal), strconv.Itoa(b.mainPID(t)))
			}
		}
		systemctl := func(verb string) func(t *testing.T) {
			return func(t *testing.T) { b.run(t, "systemctl", verb, "ssmonitor.service") }
		}
		for _, test := range []struct {
			name      string
			happening func(t *testing.T)
			stays     bool // the process is the same afterwards
		}{
			{name: "systemctl restart", happening: systemctl("restart")},
			{name: "systemctl reload", happening: systemctl("reload"), stays: true},
			{name: "kill -9", happening: signal(syscall.SIGKILL)},
			{name: "kill -STOP, until the watchdog aborts it", happening: signal(syscall.SIGSTOP)},
			{name: "upgrade of the package", happening: func(t *testing.T) { b.install(t, newerVersion) }},
		} {
			t.Run(test.name, func(t *testing.T) {
				before := b.mainPID(t)
				stop := c.startBusy(t)
				c.waitExchanges(t, 5)
				test.happening(t)
				if test.stays {
					b.expectSameAgent(t, before)
				} else {
					b.waitForSuccessor(t, before)
				}
				c.waitExchanges(t, 5)
				if err := stop(); err != nil {
					t.Errorf("the client was disturbed: %v", err)
				}
				b.expectExact(t)
			})
		}
	})
	if journal := b.journal(t, "ssmonitor.service"); !strings.Contains(journal, "Watchdog timeout") {
		t.Errorf("got no watchdog timeout in the journal:\n%s", journal)
	}

	b.expectExact(t)
	before, err := b.totals()
	if err != nil {
		t.Fatal(err)
	}
	b.reboot(t)
	b.waitForAgent(t, "active")
	if after, err := b.totals(); err != nil || before != after {
		t.Errorf("before the reboot the totals were\n%+v, after it\n%+v, %v", before, after, err)
	}
}

func TestServiceIdlesUntilThereIsShadowsocks(t *testing.T) {
	b := newBox(t, nil)
	b.connect(t)
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	agent := b.mainPID(t)
	if status := b.agentProperty(t, "StatusText"); !strings.Contains(status, "no port") {
		t.Errorf("got status %q, want one that reports that there is no port", status)
	}
	if !strings.Contains(b.journal(t, "ssmonitor.service"), "no port") {
		t.Errorf("the journal does not report that there is no port:\n%s", b.journal(t, "ssmonitor.service"))
	}
	// As at boot: everything that is enabled is started.
	b.run(t, "systemctl", "start", "multi-user.target")
	if failed := b.run(t, "systemctl", "--failed", "--plain", "--no-legend"); failed != "" {
		t.Errorf("without Shadowsocks, units failed:\n%s", failed)
	}

	b.write(t, configurationFile, serverConfiguration(8388))
	b.waitForPorts(t, 8388)
	b.run(t, "systemctl", "start", "shadowsocks-libev.service")
	c := newClient(t, b, 8388)
	c.exchangeAll(t, 1)
	b.expectExact(t)
	if now, restarts := b.mainPID(t), b.agentProperty(t, "NRestarts"); now != agent || restarts != "0" {
		t.Errorf("the agent did not wait: process %d instead of %d, %s restarts", now, agent, restarts)
	}
}
