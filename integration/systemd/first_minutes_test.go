package systemd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// installAloud installs the package and returns what dpkg prints.
func (b *box) installAloud(t *testing.T, version string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testkit.SandboxDirectory(), "ssmonitor_"+version+"_*.deb"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("packages of version %s: %v, %v", version, paths, err)
	}
	b.copyIn(t, paths...)
	return b.run(t, "dpkg", "--install", filepath.Join("/root", filepath.Base(paths[0])))
}

// TestInstallationSaysWhatRuns expects three lines at the first installation, and none at
// an upgrade.
func TestInstallationSaysWhatRuns(t *testing.T) {
	b := newBox(t, map[string]string{configurationFile: serverConfiguration(8388)})
	first := b.installAloud(t, olderVersion)
	for _, want := range []string{
		"ssmonitor runs, now and at every boot: systemctl status ssmonitor ssmonitor-setup\n",
		"Ports that it counts, listed in /etc/ssmonitor/ports: 1\n",
		"Next: ssmonitor check (what is wrong), ssmonitor top (now), ssmonitor usage (by client)\n",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("the installation does not print %q:\n%s", want, first)
		}
	}
	second := b.installAgain(t)
	if !strings.Contains(second, "Ports that it counts, listed in /etc/ssmonitor/ports: 1\n") {
		t.Errorf("installed again after a removal, it prints:\n%s", second)
	}
	b.run(t, "useradd", "someone")
	for _, command := range [][]string{{"ssmonitor", "run"}, {"ssmonitor", "run", "--state", "/tmp/state"}, {"runuser", "-u", "someone", "ssmonitor", "run"}} {
		if output, err := b.attempt(command...); err == nil || !strings.Contains(output, "journalctl -u ssmonitor") {
			t.Errorf("beside the service, %v prints %v, %s", command, err, output)
		}
	}
	upgrade := b.installAloud(t, newerVersion)
	for _, unwanted := range []string{"ssmonitor runs", "Failed to stop"} {
		if strings.Contains(upgrade, unwanted) {
			t.Errorf("the upgrade prints %q:\n%s", unwanted, upgrade)
		}
	}
}

// installAgain removes the package, and returns what dpkg prints while it installs it.
func (b *box) installAgain(t *testing.T) string {
	t.Helper()
	b.run(t, "dpkg", "--remove", "ssmonitor")
	return b.installAloud(t, olderVersion)
}

// TestInstallationSaysWhatIsMissing expects the way on where nothing is counted yet.
func TestInstallationSaysWhatIsMissing(t *testing.T) {
	b := newBox(t, nil)
	for _, step := range []struct{ name, prepare, want string }{
		{"without Shadowsocks", "true", "No port is counted yet: ssmonitor check says why. To name one: ssmonitor client add alice 20000\n"},
		{"after that advice", "ssmonitor client add alice 20000", "Ports that it counts, listed in /etc/ssmonitor/ports: 1\n"},
		{"with a mistake in the clients", "echo nonsense > /etc/ssmonitor/clients.yaml; rm /etc/ssmonitor/ports", "No port is counted yet: ssmonitor check says why."},
		{"beside a unit of an administrator", "rm -f /etc/ssmonitor/clients.yaml; mkdir -p /usr/local/lib/systemd/system; " +
			"printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > /usr/local/lib/systemd/system/ssmonitor.service",
			"ssmonitor does not run: /usr/local/lib/systemd/system/ssmonitor.service starts another program"},
		{"masked", "rm /usr/local/lib/systemd/system/ssmonitor.service; systemctl daemon-reload; dpkg --purge ssmonitor; systemctl mask ssmonitor", "ssmonitor is installed, but does not run: ssmonitor check"},
	} {
		b.run(t, "sh", "-ec", step.prepare)
		if output := b.installAgain(t); !strings.Contains(output, step.want) {
			t.Errorf("%s, the installation prints no %q:\n%s", step.name, step.want, output)
		}
	}
	b.run(t, "systemctl", "unmask", "ssmonitor")
	b.run(t, "dpkg", "--purge", "ssmonitor")
	output := b.run(t, "unshare", "--mount", "sh", "-ec", "mount -t tmpfs none /run/systemd; dpkg --install /root/ssmonitor_"+olderVersion+"_*.deb")
	if !strings.Contains(output, "without systemd: ssmonitor setup && ssmonitor run\n") {
		t.Errorf("without systemd, the installation prints:\n%s", output)
	}
}

// TestMigrationInBothOrders runs step 1 of the migration before and after the installation.
// The blog's unit may be in either place of units.
func TestMigrationInBothOrders(t *testing.T) {
	const script, rates = "/usr/bin/ssmonitor.py", "/tmp/ssmonitor.tmp"
	for _, unit := range []string{"/etc/systemd/system/ssmonitor.service", "/usr/lib/systemd/system/ssmonitor.service"} {
		for _, order := range []string{"step 1 first", "step 1 last"} {
			t.Run(order+" beside a unit in "+strings.Split(unit, "/")[1], func(t *testing.T) {
				b := newBox(t, map[string]string{
					configurationFile: serverConfiguration(8388),
					script:            "#!/bin/sh\nexec sleep infinity\n",
					unit:              "[Service]\nExecStart=" + script + "\n[Install]\nWantedBy=multi-user.target\n",
				})
				b.run(t, "chmod", "755", script)
				b.run(t, "systemctl", "daemon-reload")
				b.run(t, "systemctl", "enable", "--now", "ssmonitor")
				b.run(t, "touch", rates)
				if order == "step 1 first" {
					b.followSection(t, "Migration from the blog post")
				}
				output := b.installAloud(t, olderVersion)
				hidden := order == "step 1 last" && strings.HasPrefix(unit, "/etc")
				if strings.Contains(output, "ssmonitor does not run: "+unit) != hidden {
					t.Errorf("hidden %v, the installation prints:\n%s", hidden, output)
				}
				if order == "step 1 last" {
					b.followSection(t, "Migration from the blog post")
					b.run(t, "systemctl", "enable", "--now", "ssmonitor-setup", "ssmonitor")
				}
				b.waitForAgent(t, "active")
				b.waitForPorts(t, 8388)
				if enabled := b.run(t, "systemctl", "is-enabled", "ssmonitor.service"); enabled != "enabled\n" {
					t.Errorf("the service is %s", enabled)
				}
				if _, err := os.Stat(b.path(script)); err == nil {
					t.Errorf("%s is still there", script)
				}
				if _, err := b.attempt("test", "-e", rates); err == nil {
					t.Errorf("%s is still there", rates)
				}
			})
		}
	}
}

// followSection runs the commands of a section of integration/README.md.
func (b *box) followSection(t *testing.T, title string) {
	t.Helper()
	for _, block := range commandsOf(t, title) {
		b.run(t, "sh", "-ec", block)
	}
}

// commandsOf returns the blocks of commands of a section of integration/README.md.
func commandsOf(t *testing.T, title string) (blocks []string) {
	t.Helper()
	_, section, _ := strings.Cut(testkit.ReadFile(t, "../README.md"), "## "+title+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for paragraph := range strings.SplitSeq(section, "\n\n") {
		if strings.HasPrefix(paragraph, "    ") {
			blocks = append(blocks, strings.TrimSpace(paragraph))
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("the section %s has no commands", title)
	}
	return blocks
}

// TestMoveToAnotherMachine follows the commands for back-ups, of an agent that is stopped
// and of one that runs, and those for a move on another machine, which then counts on.
func TestMoveToAnotherMachine(t *testing.T) {
	b := newServer(t)
	newClient(t, b, 8388).exchangeAll(t, 20)
	b.expectExact(t)
	want, err := b.totals()
	if err != nil || want.In.Bytes == 0 {
		t.Fatalf("the totals are %+v, %v", want, err)
	}
	commands := commandsOf(t, "Back-ups, and another machine")
	if len(commands) != 3 {
		t.Fatalf("there are %d blocks of commands, want 3", len(commands))
	}
	for i, name := range []string{"stopped", "running"} {
		b.run(t, "sh", "-ec", "cd /root\n"+commands[i]) // stopped first: this writes the backup
		t.Run(name, func(t *testing.T) {
			other := newServer(t)
			other.copyIn(t, b.path("/root/ssmonitor.tar.gz"))
			other.run(t, "sh", "-ec", "cd /root\n"+commands[2])
			other.waitForAgent(t, "active")
			newClient(t, other, 8388).exchangeAll(t, 5)
			truth := other.truth(t)
			eventually(t, func() error {
				got, err := other.totals()
				if err == nil && (got.In.Bytes != want.In.Bytes+truth.In.Bytes || got.Out.Bytes != want.Out.Bytes+truth.Out.Bytes) {
					err = fmt.Errorf("the totals are %+v, want %+v and %+v", got, want, truth)
				}
				return err
			})
		})
	}
}
