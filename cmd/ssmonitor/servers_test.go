package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// TestSetupAsksRunningServers counts the port of a server whose configuration, outside of
// the usual places, nobody has named to setup. Then the file is replaced by one that says
// something else than the server's sockets.
func TestSetupAsksRunningServers(t *testing.T) {
	testkit.Require(t, "ss-server")
	p := newPlace(t)
	const form = `{"server": "0.0.0.0", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm", "mode": "tcp_and_udp"}`
	p.configure(fmt.Sprintf(form, 23456))
	server := exec.Command("ss-server", "-c", "config.json")
	server.Dir = p.directory
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	expect := func(want, found string) {
		t.Helper()
		testkit.Eventually(t, 20*time.Second, func() error {
			_, stdout, stderr := call(t, "setup", "--list", p.list, "--state", p.state, "--config", "none")
			if !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) {
				return fmt.Errorf("setup does not print %q:\n%s%s", want, stdout, stderr)
			}
			return nil
		})
		_, stdout, _ := call(t, "check", "--list", p.list, "--state", p.state, "--config", "none")
		wantParts(t, stdout, found)
		_, stdout, _ = call(t, "setup", "--no-search", "--dry-run", "--port", "1", "--list", p.list, "--state", p.state, "--config", "none")
		wantParts(t, stdout, "# - 23456") // removed
	}
	expect("23456 tcp, udp process ss-server: "+p.config, "(by server_port), named by the running ss-server: port 23456")
	p.configure(fmt.Sprintf(form, 23457))
	expect("23456 tcp, udp process ss-server: sockets", "process ss-server: sockets: port 23456")
}
