package endtoend_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// TestTotalsOfRemovedPortsAreExact adds and removes a port by ss-manager's API
// while its client downloads and sends. The agent is held until the last packet has
// passed, so that the counters' last values are known: the usage must equal them,
// over all lives of the port, and that of a port in use all the time must equal its
// counters.
func TestTotalsOfRemovedPortsAreExact(t *testing.T) {
	require(t, "ss-manager", "ss-local", "ss-tunnel", "curl", "ss", "sqlite3")
	t.Parallel()
	const lives, stays, comesAndGoes = 3, 8391, 8394
	server, client := newServerAndClient(t)
	directory := filepath.Join(server.directory, "manager")
	testkit.MakeDirectory(t, directory)
	server.configure(t, stays)
	agent := server.startAgent(t, "--shadowsocks", directory, "--save-interval", "0s", "--interval", "400ms")
	startManager(t, server.namespace, server.configuration())
	server.waitListening(t, stays, "tcp", "udp")
	agent.waitServing(t, stays)
	server.serve(t, targetPort)
	tell := commandManager(t, managerAddress(server.configuration()))
	keeps := startShadowsocksClient(t, client, serverIPv6, stays, 1080, password)
	leaves := startShadowsocksClient(t, client, serverIPv4, comesAndGoes, 1090, password)

	file := fileOf(t, 10*megabyte)
	var gone traffic
	for range lives {
		tell(fmt.Sprintf(`add: {"server_port": %d, "password": %q}`, comesAndGoes, password))
		agent.waitServing(t, stays, comesAndGoes)
		server.waitListening(t, comesAndGoes, "tcp", "udp")
		leaves.download(t, 2*megabyte)
		leaves.echo(t, 20, 500)
		// This goes on until after the port is gone.
		datagrams := client.startSending(t, sending{to: fmt.Sprintf("%s:%d", serverIPv4, comesAndGoes), perSecond: 500, size: 100})
		download := begin(t, client.command("curl", "--silent", "--limit-rate", "30M", "--output", "/dev/null", "--socks5-hostname",
			fmt.Sprintf("127.0.0.1:%d", leaves.socks), fmt.Sprintf("http://%s:%d/%d", serverIPv4, targetPort, 100_000*megabyte)))
		server.waitCounting(t, comesAndGoes, 10*megabyte)
		echoed := server.packets(t, fmt.Sprintf("udp-%d-out", comesAndGoes)) // the rest of the datagrams is not answered
		eventually(t, func() error {
			if got := server.packets(t, fmt.Sprintf("udp-%d-in", comesAndGoes)); got < echoed+10 {
				return fmt.Errorf("port %d has received %d datagrams", comesAndGoes, got)
			}
			return nil
		})
		agent.freeze(t)
		tell(fmt.Sprintf(`remove: {"server_port": %d}`, comesAndGoes))
		download.kill()
		if datagrams.stop(t) == 0 {
			t.Error("no datagram was sent")
		}
		gone = gone.plus(server.settled(t, comesAndGoes))
		upload := begin(t, client.command("curl", "--silent", "--upload-file", file, "--socks5-hostname",
			fmt.Sprintf("127.0.0.1:%d", keeps.socks), fmt.Sprintf("http://%s:%d/", serverIPv4, targetPort)))
		agent.signal(syscall.SIGCONT)
		server.waitUncounted(t, comesAndGoes)
		if status := upload.wait(t); status != 0 {
			t.Errorf("the other port's client was disturbed: curl ended with status %d", status)
		}
	}
	agent.waitServing(t, stays)
	if gone.out.Bytes < lives*10*megabyte {
		t.Errorf("the port sent only %+v", gone.out)
	}
	expected := map[string]traffic{fmt.Sprint("port ", stays): server.settled(t, stays), fmt.Sprint("port ", comesAndGoes): gone}
	server.waitUsage(t, expected)
	agent.stop(t)
	server.waitUsage(t, expected)
	if said := agent.stderr.String(); strings.Contains(said, password) || strings.Contains(said, "level=ERROR") {
		t.Errorf("the agent said:\n%s", said)
	}
}

// waitCounting waits until the port has sent so many bytes.
func (n namespace) waitCounting(t *testing.T, port int, bytes uint64) {
	t.Helper()
	eventually(t, func() error {
		if counted := n.counted(t, port); counted.out.Bytes < bytes {
			return fmt.Errorf("port %d has sent %+v", port, counted.out)
		}
		return nil
	})
}

// settled waits until the port's counters have stopped, and returns their values.
func (n namespace) settled(t *testing.T, port int) traffic {
	t.Helper()
	last := n.counted(t, port)
	since := time.Now()
	eventually(t, func() error {
		if now := n.counted(t, port); now != last {
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < 300*time.Millisecond {
			return fmt.Errorf("port %d still counts: %+v", port, last)
		}
		return nil
	})
	return last
}

// waitUncounted waits until the port has no counters.
func (n namespace) waitUncounted(t *testing.T, port int) {
	t.Helper()
	eventually(t, func() error {
		if _, counted := n.counters(t)[fmt.Sprintf("tcp-%d-in", port)]; counted {
			return fmt.Errorf("port %d still has counters", port)
		}
		return nil
	})
}

func (t traffic) plus(other traffic) traffic {
	return traffic{in: t.in.Plus(other.in), out: t.out.Plus(other.out)}
}
