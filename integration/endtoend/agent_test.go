package endtoend_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

// nobody is an unprivileged user, by number.
const nobody = 65534

// asNobody returns the command prefix that runs ssmonitor as nobody, with the
// capability or without any.
func asNobody(capability string) []string {
	return []string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups",
		"--inh-caps=-all" + capability, "--ambient-caps=-all" + capability, "--bounding-set=-all" + capability, "--no-new-privs"}
}

// giveToNobody makes an agent that runs as nobody the owner of its directories, as the
// unit does.
func (p product) giveToNobody(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.Chown(p.runtimeDirectory(), nobody, nobody), os.Chown(p.stateDirectory(), nobody, nobody)); err != nil {
		t.Fatal(err)
	}
}

func TestAgentNeedsOneCapabilityAndNoMore(t *testing.T) {
	require(t, "setpriv")
	t.Parallel()
	server := newServer(t)
	server.giveToNobody(t)
	run := []string{"run", "--interval", "100ms", "--port", fmt.Sprint(countedPort)}

	without := start(t, server.ssmonitor(asNobody(""), run...))
	without.endsWith(t, 1, "CAP_NET_ADMIN")
	server.expectNoRuleset(t, "without the capability")

	with := agent{server, start(t, server.ssmonitor(asNobody(",+net_admin"), run...))}
	with.waitServing(t, countedPort)
	server.sendToItself(t, countedPort, 10)
	if got := server.packets(t, "udp-20000-in"); got != 10 {
		t.Errorf("got %d packets, want 10", got)
	}
	with.stop(t)
}

// TestCSVShowsTheRatesOfKnownTraffic sends a steady stream and reads its rates.
func TestCSVShowsTheRatesOfKnownTraffic(t *testing.T) {
	t.Parallel()
	const perSecond, payload, idlePort = 200, 972, 20001
	server := newServer(t)
	agent := server.startAgent(t, "--interval", "1s", "--port", "20000-20001")
	address := fmt.Sprintf("127.0.0.1:%d", countedPort)
	stream := server.startSending(t, sending{from: address, to: address, perSecond: perSecond, size: payload})
	near := func(got, want float64) bool { return math.Abs(got-want) <= 0.05*want }
	eventually(t, func() error {
		rows, err := agent.readCSV()
		if err != nil {
			return err
		}
		if len(rows) != 2 || rows[0].port != countedPort || rows[1] != (csvRow{port: idlePort}) {
			return fmt.Errorf("got the CSV rows %+v", rows)
		}
		r, bytes := rows[0], float64(perSecond*(payload+20+8)) // with the headers of IPv4 and UDP
		if !near(r.packetsIn, perSecond) || !near(r.packetsOut, perSecond) || !near(r.bytesIn, bytes) || !near(r.bytesOut, bytes) {
			return fmt.Errorf("got rates %+v, want %d packets and %.0f bytes each way", r, perSecond, bytes)
		}
		return nil
	})
	stream.stop(t)
	eventually(t, func() error {
		rows, err := agent.readCSV()
		if err == nil && rows[0] != (csvRow{port: countedPort}) {
			err = fmt.Errorf("after the traffic: got rates %+v, want 0", rows[0])
		}
		return err
	})
	info, err := os.Stat(agent.csv)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode != 0o644 {
		t.Errorf("CSV: got mode %o, want 644", mode)
	}
	agent.stop(t)
}

// TestAgentWithoutPortsWaitsForTheList starts the agent before setup.
func TestAgentWithoutPortsWaitsForTheList(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	agent := server.startAgent(t, "--list", server.list)
	agent.waitSaying(t, "waiting for the list of ports")
	server.setup(t, "--port", "20000")
	agent.waitServing(t, 20000)
	server.setup(t, "--port", "20000-20001")
	agent.waitServing(t, 20000, 20001)
	server.setup(t, "--port", "20001")
	agent.waitServing(t, 20001)
	agent.stop(t)
}

// TestChangedSourceIsApplied edits a configuration while the agent
// runs: first correctly, then with an error, then correctly again.
func TestChangedSourceIsApplied(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.configure(t, 20000)
	agent := server.startAgent(t, "--shadowsocks", server.configuration())
	agent.waitServing(t, 20000)
	server.configure(t, 20000, 20001)
	agent.waitServing(t, 20000, 20001)

	testkit.ReplaceFile(t, server.configuration(), `{"port_password": {"20000": `)
	agent.waitSaying(t, server.configuration())
	agent.waitIntervals(t, 5)
	agent.waitServing(t, 20000, 20001)
	if said := strings.Count(agent.stderr.String(), server.configuration()); said != 1 {
		t.Errorf("broken configuration: got %d reports, want 1:\n%s", said, &agent.stderr)
	}
	server.sendToItself(t, 20001, 10)
	if got := server.packets(t, "udp-20001-in"); got != 10 {
		t.Errorf("with a broken configuration: got %d packets, want 10", got)
	}

	server.configure(t, 20002)
	agent.waitServing(t, 20002)
	if strings.Contains(agent.stderr.String(), password) {
		t.Errorf("the agent has logged a password:\n%s", &agent.stderr)
	}
	agent.stop(t)
}

// TestRepairedTableIsNoError deletes the table once: the log says what was found,
// and nothing of it is an error.
func TestRepairedTableIsNoError(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", fmt.Sprint(countedPort))
	right := server.listing(t)
	server.nft(t, "delete table inet ssmonitor\n")
	server.waitTable(t, right, 2*agentInterval)
	agent.waitIntervals(t, 2)
	if log := agent.stderr.String(); strings.Count(log, "is being repaired") != 1 || strings.Contains(log, "level=ERROR") || strings.Contains(log, "read again") {
		t.Errorf("want one warning and no error:\n%s", log)
	}
	agent.stop(t)
}

// TestHangupReadsTheSourcesAgain uses an interval longer than the test, so that
// only SIGHUP can make the agent read its sources.
func TestHangupReadsTheSourcesAgain(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.configure(t, 20000)
	agent := server.startAgent(t, "--interval", "1h", "--shadowsocks", server.configuration())
	counts := func(counter string) func() error {
		return func() error {
			if _, found := server.counters(t)[counter]; !found {
				return fmt.Errorf("there is no counter %s", counter)
			}
			return nil
		}
	}
	agent.waitSaying(t, "counting")
	eventually(t, counts("tcp-20000-in"))
	server.configure(t, 20000, 20001)
	agent.signal(syscall.SIGHUP)
	eventually(t, counts("tcp-20001-in"))
	agent.signal(syscall.SIGTERM)
	agent.endsWith(t, 0)
}

// waitIntervals waits until the agent has published that many more times.
func (a agent) waitIntervals(t *testing.T, count int) {
	t.Helper()
	var last os.FileInfo
	for range count + 1 { // the first one found may be old
		eventually(t, func() error {
			info, err := os.Stat(a.csv)
			if err != nil {
				return err
			}
			if last != nil && os.SameFile(info, last) && info.ModTime().Equal(last.ModTime()) {
				return fmt.Errorf("the CSV was not written again")
			}
			last = info
			return nil
		})
	}
}
