package systemd_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// holdAddress is a Python program that takes the address of the agents as soon as it
// is free, for as long as it runs.
const holdAddress = `
import os, socket, time
while True:
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind("\0ssmonitor")
        s.listen(5)
        print(os.getpid(), flush=True)
        while True:
            s.accept()[0].close()
    except OSError:
        time.sleep(0.001)
    s.close()
`

// squat runs holdAddress in the box, until the function that it returns is called.
func (b *box) squat(t *testing.T, prefix ...string) (stop func()) {
	t.Helper()
	attacker := b.command(append(prefix, "/usr/bin/python3", "-c", holdAddress)...)
	output, err := attacker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	attacker.Stderr = os.Stderr
	if err := attacker.Start(); err != nil {
		t.Fatal(err)
	}
	process, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_, _ = b.attempt("kill", "-KILL", strings.TrimSpace(process)) // nsenter would leave it
		_ = attacker.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// TestNobodyStopsTheAgent has an unprivileged user take the address from before the
// installation until after the removal.
func TestNobodyStopsTheAgent(t *testing.T) {
	b := newBox(t, map[string]string{configurationFile: serverConfiguration(8388)})
	stop := b.squat(t, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	b.waitForPorts(t, 8388)
	b.run(t, "systemctl", "restart", "ssmonitor.service", "ssmonitor-setup.service")
	b.waitForAgent(t, "active")
	before := b.mainPID(t)
	b.write(t, secondConfigurationFile, serverConfiguration(8389))
	b.waitForPorts(t, 8388, 8389)
	b.run(t, "ssmonitor", "setup")
	if now, restarts := b.mainPID(t), b.agentProperty(t, "NRestarts"); now != before || restarts != "0" {
		t.Errorf("the agent was restarted: process %d instead of %d, %s restarts", now, before, restarts)
	}
	if journal := b.journal(t, "ssmonitor.service"); !strings.Contains(journal, "user 65534 has taken the abstract address") {
		t.Errorf("the agent does not name the squatter:\n%s", journal)
	}
	b.run(t, "dpkg", "--purge", "ssmonitor")
	if ruleset := b.run(t, "nft", "list", "ruleset"); strings.Contains(ruleset, "ssmonitor") {
		t.Errorf("after the removal there is still:\n%s", ruleset)
	}
	stop()
}

// TestAgentComesBackByItself has it fail more often than systemd starts a unit again
// by default, for a reason that ends.
func TestAgentComesBackByItself(t *testing.T) {
	b := newBox(t, map[string]string{
		configurationFile: serverConfiguration(8388),
		"/etc/systemd/system/ssmonitor.service.d/fast.conf": "[Service]\nRestartSec=100ms\n",
	})
	stop := b.squat(t) // as root, as another agent would
	b.install(t, olderVersion)
	eventually(t, func() error {
		if restarts, err := strconv.Atoi(b.agentProperty(t, "NRestarts")); err != nil || restarts < 12 {
			return fmt.Errorf("%d restarts: %w", restarts, err)
		}
		return nil
	})
	stop()
	b.waitForAgent(t, "active")
	b.waitForPorts(t, 8388)
}

// TestHungSetupIsStartedAgain has the process stop, as in a read that never ends.
func TestHungSetupIsStartedAgain(t *testing.T) {
	b := newBox(t, map[string]string{
		configurationFile: serverConfiguration(8388),
		"/etc/systemd/system/ssmonitor-setup.service.d/fast.conf": "[Service]\nWatchdogSec=3\n",
	})
	b.install(t, olderVersion)
	b.waitForPorts(t, 8388)
	before := b.setupPID(t)
	b.run(t, "kill", "-STOP", before)
	eventually(t, func() error {
		if now := b.setupPID(t); now == before || now == "0" {
			return fmt.Errorf("setup is process %s, before it was %s", now, before)
		}
		return nil
	})
	b.write(t, secondConfigurationFile, serverConfiguration(8389))
	b.waitForPorts(t, 8388, 8389)
	if journal := b.journal(t, "ssmonitor-setup.service"); !strings.Contains(journal, "Watchdog timeout") {
		t.Errorf("the journal has no timeout:\n%s", journal)
	}
}

// panel is a Python program that has 3x-ui's database open, as the panel has.
const panel = `
import os, sqlite3, sys
os.umask(0o077)
os.makedirs("/etc/x-ui", exist_ok=True)
db = sqlite3.connect("/etc/x-ui/x-ui.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE inbounds (id INTEGER, port INTEGER, protocol TEXT, remark TEXT, listen TEXT, settings TEXT, enable INTEGER)")
print("up", flush=True)
for port in sys.stdin:
    db.execute("INSERT INTO inbounds VALUES (?, ?, 'shadowsocks', '', '', '{}', 1)", (int(port), int(port)))
`

// startPanel starts the panel. The function that it returns adds a port.
func (b *box) startPanel(t *testing.T) (add func(port int)) {
	t.Helper()
	program := b.command("/usr/bin/python3", "-c", panel)
	input, inErr := program.StdinPipe()
	output, outErr := program.StdoutPipe()
	program.Stderr = os.Stderr
	if err := errors.Join(inErr, outErr, program.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close() // which ends it
		_ = program.Wait()
	})
	if _, err := output.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	return func(port int) {
		if _, err := fmt.Fprintln(input, port); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSetupFindsEveryPlaceInItsEnclosure has files appear in all usual places after
// setup has begun, in directories that do not exist then, and in a place that the
// settings name, and a panel of root whose database others can't read, which it writes
// to.
func TestSetupFindsEveryPlaceInItsEnclosure(t *testing.T) {
	b := newBox(t, nil)
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	port, ports := 20000, []int(nil)
	page, err := os.ReadFile("../places.md") // made from the usual places
	if err != nil {
		t.Fatal(err)
	}
	places := regexp.MustCompile("(?m)^\\| `(/[^`]*)`").FindAllSubmatch(page, -1)
	if len(places) == 0 {
		t.Fatal("the page lists no place")
	}
	for _, row := range places {
		path := strings.Replace(string(row[1]), "*", "first", 1)
		if strings.HasSuffix(path, "/") {
			path += "first.json"
		}
		if suffix := filepath.Ext(path); suffix == ".db" || suffix == ".yaml" || suffix == ".yml" || suffix == ".service" || filepath.Base(path) == "x-ui" {
			continue // of other forms
		}
		b.write(t, path, serverConfiguration(port))
		ports = append(ports, port)
		port++
	}
	const named = "/srv/shadowsocks/server.json"
	b.write(t, named, serverConfiguration(port))
	b.write(t, "/etc/ssmonitor/config.yaml", "shadowsocks: ["+named+"]\n")
	ports = append(ports, port)
	b.waitForPorts(t, ports...)
	add := b.startPanel(t)
	for range 3 {
		port++
		add(port)
		ports = append(ports, port)
		b.waitForPorts(t, ports...)
	}
	status := b.run(t, "cat", fmt.Sprintf("/proc/%s/status", b.setupPID(t)))
	user := strings.TrimSpace(b.run(t, "id", "--user", "ssmonitor-setup"))
	if !strings.Contains(status, "Uid:\t"+user+"\t") {
		t.Errorf("setup runs as another user than %s:\n%s", user, status)
	}
	journal := b.journal(t, "ssmonitor-setup.service")
	if !strings.Contains(journal, "another place to read") || strings.Contains(journal, "no Landlock") {
		t.Errorf("setup is not enclosed:\n%s", journal)
	}
}
