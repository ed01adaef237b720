package systemd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"ssmonitor/integration/portlist"
)

// namedFile is outside the usual places.
const namedFile = "/srv/shadowsocks/server.json"

// TestNoEditOfANamedFileIsLost edits a file that only the settings name a hundred
// times, in place and by rename, in series whose edits fall into the setup that
// the first of them causes.
func TestNoEditOfANamedFileIsLost(t *testing.T) {
	const series, edits = 20, 5
	b := newBox(t, map[string]string{namedFile: serverConfiguration(20000)})
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	b.write(t, "/etc/ssmonitor/config.yaml", "shadowsocks: ["+namedFile+"]\n")
	b.waitForList(t, 20000)
	started := b.setupPID(t)
	port := 20000
	for number := range series {
		for edit := range edits {
			port++
			if (number+edit)%2 == 0 {
				b.write(t, namedFile, serverConfiguration(port))
			} else if err := os.WriteFile(b.path(namedFile), []byte(serverConfiguration(port)), 0o644); err != nil {
				t.Fatal(err)
			}
			if edit < edits-1 {
				time.Sleep(rand.N(400 * time.Millisecond)) //nolint:gosec // an edit at any moment
			}
		}
		b.waitForList(t, port)
	}
	b.waitForPorts(t, port)
	if now := b.setupPID(t); now != started {
		t.Errorf("setup was started again: process %s instead of %s", now, started)
	}
	if journal := b.journal(t, "ssmonitor-setup.service"); strings.Contains(journal, "level=ERROR") {
		t.Errorf("the journal of setup is not clean:\n%s", journal)
	}

}

// waitForList waits until the list has this port only.
func (b *box) waitForList(t *testing.T, port int) {
	t.Helper()
	eventually(t, func() error {
		ports, err := portlist.Read(b.path("/etc/ssmonitor/ports"))
		if err != nil {
			return err
		}
		if len(ports) != 1 || int(ports[0].Number) != port {
			return fmt.Errorf("the list has the ports %v, want %d", ports, port)
		}
		return nil
	})
}

// setupPID returns the process that follows the configurations.
func (b *box) setupPID(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(b.run(t, "systemctl", "show", "--value", "--property=MainPID", "ssmonitor-setup.service"))
}
