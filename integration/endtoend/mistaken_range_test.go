package endtoend_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// unitWatchdog is WatchdogSec of the units of the agent and of the setup that follows.
const unitWatchdog = 30 * time.Second

// TestMistakenRange names every port in the settings that an agent and a setup follow, and
// then those that were meant. Each step takes as little as it says in the log, and neither
// is silent for so long that the watchdog of its unit would come near.
func TestMistakenRange(t *testing.T) {
	if testing.Short() {
		t.Skip("65,535 ports take a while")
	}
	const meant = "port: [20000=alice, 20001=bob, 20002=carol]\n"
	server := newServer(t)
	settings := server.settings(t, meant)
	setup := server.startWatched(t, "setup", "--follow", "--list", server.list, "--config", settings)
	setup.waitFor(t, patience, "3 ports counted")
	agent := server.startWatched(t, "run", "--list", server.list, "--config", settings)
	agent.waitFor(t, patience, "msg=counting ports=3")

	change := func(lines string, most time.Duration, agentSays, setupSays string) {
		began := time.Now()
		server.settings(t, lines)
		agent.waitFor(t, most, agentSays)
		inForce := time.Since(began)
		setup.waitFor(t, most, setupSays)
		t.Logf("%q: the agent took %.1f s, and setup was done after %.1f s", lines, inForce.Seconds(), time.Since(began).Seconds())
	}
	change("port: [1-65535]\n", 4*patience, "ports=65535 added=65532 removed=0", "65532 added, 3 changed.")
	change(meant, 2*patience, "ports=3 added=0 removed=65532", "65532 removed, 3 changed.")
	server.waitListing(t, 20000, 20001, 20002)
	for _, w := range []*watched{agent, setup} {
		w.signal(os.Interrupt)
		w.wait(t)
		if lines := strings.Count(w.output(), "\n"); lines > 40 {
			t.Errorf("%s prints %d lines, want 40 at most:\n%.5000s", w, lines, w.output())
		}
		if silence := <-w.silence; silence > unitWatchdog/2 {
			t.Errorf("%s gave no sign of life for %s", w, silence)
		}
	}
}

// watched is a program that gives signs of life, as to systemd.
type watched struct {
	*program
	silence <-chan time.Duration // receives the longest time between two signs, once it ends
}

func (p product) startWatched(t *testing.T, arguments ...string) *watched {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(p.directory, "notify-"+arguments[0]), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	silence := make(chan time.Duration, 1)
	go func() {
		var longest time.Duration
		last := time.Now()
		for message := make([]byte, 4096); ; {
			n, err := socket.Read(message)
			text := string(message[:n])
			if end := err != nil || strings.Contains(text, "STOPPING=1"); end || strings.Contains(text, "WATCHDOG=1") {
				longest, last = max(longest, time.Since(last)), time.Now()
				if end {
					silence <- longest
					return
				}
			}
		}
	}()
	command := p.ssmonitor(nil, arguments...)
	command.Env = append(command.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC="+strconv.FormatInt(unitWatchdog.Microseconds(), 10))
	return &watched{start(t, command), silence}
}

func (w *watched) output() string { return w.stdout.String() + w.stderr.String() }

// waitFor waits until the program has printed a text.
func (w *watched) waitFor(t *testing.T, most time.Duration, text string) {
	t.Helper()
	testkit.Eventually(t, most, func() error {
		if !strings.Contains(w.output(), text) {
			return errors.New("it does not print " + text + " but\n" + w.output())
		}
		return nil
	})
}
