package systemd_test

import (
	"fmt"
	"strings"
	"testing"
)

const clientsFile = "/etc/ssmonitor/clients.yaml"

// TestPortsThatWereNamedStay does what setup advises where there is no Shadowsocks. Then
// configurations appear and change, and the file of clients changes by hand.
func TestPortsThatWereNamedStay(t *testing.T) {
	b := newBox(t, nil)
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	if text := b.run(t, "ssmonitor", "setup", "--port", "20000=alice"); !strings.Contains(text, clientsFile+" now, and stays") {
		t.Errorf("setup does not say where it keeps the port:\n%s", text)
	}
	b.waitForPorts(t, 20000)
	for _, port := range []int{20001, 20002} {
		b.write(t, configurationFile, serverConfiguration(port))
		b.waitForPorts(t, 20000, port)
		b.waitForNames(t, "alice")
	}

	b.write(t, clientsFile, "alicia: {ports: [20000, 20003/tcp]}\n")
	b.waitForPorts(t, 20000, 20002, 20003)
	b.waitForNames(t, "alicia")
	b.write(t, clientsFile, "alicia: {port: 20000}\n")
	for _, unit := range []string{"ssmonitor.service", "ssmonitor-setup.service"} {
		eventually(t, func() error {
			if journal := b.journal(t, unit); !strings.Contains(journal, clientsFile+": line 1, column 10") {
				return fmt.Errorf("%s does not report the mistake:\n%s", unit, journal)
			}
			return nil
		})
	}
	b.run(t, "systemctl", "restart", "ssmonitor.service")
	b.waitForAgent(t, "active")
	agent := b.mainPID(t)
	b.waitForPorts(t, 20000, 20002, 20003)
	b.waitForNames(t, "alicia")

	// Without setup, too, a client that is removed is not counted any more.
	b.run(t, "systemctl", "stop", "ssmonitor-setup.service")
	b.write(t, clientsFile, "alicia: {ports: 20000}\n")
	b.waitForPorts(t, 20000, 20002)
	b.run(t, "systemctl", "start", "ssmonitor-setup.service")
	if check, err := b.attempt("ssmonitor", "check", "--json"); !strings.Contains(check, `"clients"`) || strings.Contains(check, "port-list-incomplete") {
		t.Errorf("check: %v\n%s", err, check)
	}
	if now := b.mainPID(t); now != agent {
		t.Errorf("the agent was started again: process %d instead of %d", now, agent)
	}
}

// waitForNames waits until usage and the live table name a client.
func (b *box) waitForNames(t *testing.T, name string) {
	t.Helper()
	for _, command := range [][]string{{"top", "--once"}, {"client", "list"}} {
		eventually(t, func() error {
			text, err := b.attempt(append([]string{"ssmonitor"}, command...)...)
			if err != nil || !strings.Contains(text, name) {
				return fmt.Errorf("%s does not name %s: %w\n%s", command, name, err, text)
			}
			return nil
		})
	}
}
