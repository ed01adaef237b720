package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// The alerts of netdata/health.d/ssmonitor.conf on the charts of the tests.
const (
	lastCollectedAlert = totalChart + ".ssmonitor_last_collected"
	trafficAlert       = trafficChart + ".ssmonitor_port_traffic"
	idleAlert          = "ssmonitor.port_20001_traffic.ssmonitor_port_traffic"
	addressAlert       = "ssmonitor.port_20001_addresses.ssmonitor_port_addresses"
)

// shippedAlerts is the file as it is installed.
func shippedAlerts(t *testing.T) string {
	t.Helper()
	return testkit.ReadFile(t, "../netdata/health.d/ssmonitor.conf")
}

// replaceAll replaces each old text with its new one, given in pairs. It fails if
// an old text is missing.
func replaceAll(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q in:\n%s", pairs[i], text)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// alertSettings are added to netdataSettings. The alerts are where a package
// puts them.
const alertSettings = `
[directories]
    stock health config = %s/health.d
[health]
    enabled = yes
    script to execute on alarm = /bin/true
    run at least every seconds = 1
`

// setAlerts configures the alerts that Netdata loads when it is launched.
func (n netdata) setAlerts(t *testing.T, alerts string) {
	t.Helper()
	n.addSettings(t, fmt.Sprintf(alertSettings, n.directory))
	directory := filepath.Join(n.directory, "health.d")
	testkit.MakeDirectory(t, directory)
	testkit.ReplaceFile(t, filepath.Join(directory, "ssmonitor.conf"), alerts)
}

// addSettings appends to netdata.conf. If a setting occurs twice, the last one
// applies.
func (n netdata) addSettings(t *testing.T, settings string) {
	t.Helper()
	path := filepath.Join(n.directory, "etc", "netdata.conf")
	before := testkit.ReadFile(t, path)
	testkit.ReplaceFile(t, path, before+settings)
}

// alert is an alert as Netdata's API returns it.
type alert struct {
	Status, Units string
	Value         *float64
}

func (a alert) String() string {
	if a.Value == nil {
		return a.Status + " without a value"
	}
	return fmt.Sprintf("%s at %.1f %s", a.Status, *a.Value, a.Units)
}

func (n netdata) alerts() (map[string]alert, error) {
	var answer struct{ Alarms map[string]alert }
	err := n.get("alarms?all", &answer)
	return answer.Alarms, err
}

// waitAlerts waits until each of the alerts has the status.
func (n netdata) waitAlerts(t *testing.T, statuses map[string]string) {
	t.Helper()
	eventually(t, func() error {
		alerts, err := n.alerts()
		if err != nil {
			return err
		}
		for id, status := range statuses {
			if alerts[id].Status != status {
				return fmt.Errorf("the alert %s is %s, want %s; all are: %v", id, alerts[id], status, alerts)
			}
		}
		return nil
	})
}

// TestAlertsLoadAsShipped gives Netdata the file that is installed. An alert
// that looks back five minutes has no value before these are over.
func TestAlertsLoadAsShipped(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000", "--port", "20001")
	netdata := newNetdata(t, server)
	netdata.setAlerts(t, shippedAlerts(t))
	netdata = netdata.launch(t)
	netdata.waitAlerts(t, map[string]string{
		lastCollectedAlert: "CLEAR",
		trafficAlert:       "UNINITIALIZED",
		idleAlert:          "UNINITIALIZED",
		addressAlert:       "UNINITIALIZED",
	})
	if alerts, err := netdata.alerts(); err != nil || len(alerts) != 5 {
		t.Errorf("got the alerts %v, %v, want two for each port and one for all", alerts, err)
	}
	if complaints := linesWith(t, filepath.Join(netdata.directory, "log", "error.log"), "/ssmonitor.conf"); complaints != "" {
		t.Errorf("Netdata does not like the file:\n%s", complaints)
	}
	agent.stop(t)
}

// TestAlertsRaiseAndClear makes a client send too much, and stops the agent,
// with thresholds and times that a test can wait for.
func TestAlertsRaiseAndClear(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	server := newServer(t)
	ports := []string{"--port", "20000", "--port", "20001"}
	agent := server.startCounting(t, ports...)
	netdata := newNetdata(t, server)
	netdata.setAlerts(t, replaceAll(t, shippedAlerts(t),
		"(40000)", "(1000)", // the traffic is of 4000 kilobits/s in each direction
		"(50000)", "(6000)",
		"$this > 5\n", "$this > 1\n",
		"average -5m", "average -3s",
		"min -1m", "min -3s",
		"every: 10s", "every: 1s",
		"5 + 5 * $update_every", "3 * $update_every",
		"60 + 5 * $update_every", "6 * $update_every",
		"delay: down 1m", "delay: down 1s",
		"delay: down 5m", "delay: down 1s"))
	traffic := startSteadyTraffic(t, server.namespace)
	server.serve(t, 20001)
	clients := server.connect(t, addressesFrom("127.0.0.2", 2), 2, "127.0.0.1:20001")
	netdata = netdata.launch(t)

	netdata.waitAlerts(t, map[string]string{
		lastCollectedAlert: "CLEAR",
		trafficAlert:       "WARNING",
		idleAlert:          "CLEAR",
		addressAlert:       "WARNING",
	})
	traffic.stop(t)
	for _, client := range clients[2:] {
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	netdata.waitAlerts(t, map[string]string{trafficAlert: "CLEAR", addressAlert: "CLEAR"})

	agent.stop(t)
	stopped := time.Now()
	netdata.waitAlerts(t, map[string]string{lastCollectedAlert: "WARNING"})
	if after := time.Since(stopped); after < 2*time.Second {
		t.Errorf("the alert was raised %s after the agent had stopped: a pause that short is none", after)
	}
	netdata.waitAlerts(t, map[string]string{lastCollectedAlert: "CRITICAL"})
	if server.pluginProcesses(t) == 0 {
		t.Error("the plugin has ended with the agent")
	}
	agent = server.startAgent(t, ports...)
	netdata.waitAlerts(t, map[string]string{lastCollectedAlert: "CLEAR"})
	agent.stop(t)
}

// TestPortAlertsCanBeTurnedOff copies the file to where an administrator edits it
// and deletes the alert of each port, as the file says.
func TestPortAlertsCanBeTurnedOff(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	alerts := shippedAlerts(t)
	edited, _, found := strings.Cut(alerts, " template: ssmonitor_port_traffic\n")
	if !found {
		t.Fatal("there is no alert of each port")
	}
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000", "--port", "20001")
	netdata := newNetdata(t, server)
	netdata.setAlerts(t, alerts)
	own := filepath.Join(netdata.directory, "etc", "health.d")
	testkit.MakeDirectory(t, own)
	testkit.ReplaceFile(t, filepath.Join(own, "ssmonitor.conf"), edited)
	netdata = netdata.launch(t)
	netdata.waitAlerts(t, map[string]string{lastCollectedAlert: "CLEAR"})
	eventually(t, func() error {
		if !netdata.hasChart(t, trafficChart) {
			return fmt.Errorf("there is no chart of a port yet")
		}
		return nil
	})
	if got, err := netdata.alerts(); err != nil || len(got) != 1 {
		t.Errorf("got the alerts %v, %v", got, err)
	}
	agent.stop(t)
}

// TestLostStateShowsNeitherSpikeNorZero kills the agent and deletes its totals,
// while Netdata and the plugin keep running. The totals were just below 2^32:
// Netdata takes a decrease from there for the overflow of a counter.
func TestLostStateShowsNeitherSpikeNorZero(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	const payload = 60_000
	const datagram = payload + 20 + 8 // with the headers of IPv4 and UDP
	const count = 4_000_000_000 / datagram
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000")
	netdata := startNetdata(t, server)
	address := fmt.Sprintf("127.0.0.1:%d", countedPort)
	server.send(t, sending{from: address, to: address, count: count, size: payload})
	eventually(t, func() error {
		collected, err := netdata.collected(trafficChart, "sent")
		if err == nil && collected != count*datagram {
			err = fmt.Errorf("Netdata has collected %d bytes, want %d", collected, count*datagram)
		}
		return err
	})
	traffic := startSteadyTraffic(t, server.namespace)
	begin := netdata.waitSteady(t, traffic.kilobits)

	agent.signal(syscall.SIGKILL)
	agent.wait(t)
	if err := os.RemoveAll(server.stateDirectory()); err != nil {
		t.Fatal(err)
	}
	server.nft(t, "delete table inet ssmonitor") // the agent would adopt its counters
	agent = server.startCounting(t, "--port", "20000")
	if total := agent.report(t).Total.Out.Total.Bytes; total >= count*datagram {
		t.Fatalf("the agent still knows of %d bytes", total)
	}
	netdata.waitConsecutive(t, trafficChart, netdata.waitSteady(t, traffic.kilobits), 3, traffic.kilobits)
	points, err := netdata.points(trafficChart, begin)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		if p.received == nil || p.sent == nil {
			continue // what happened meanwhile nobody knows
		}
		if *p.received <= 0 || *p.received > 1.1*traffic.kilobits || *p.sent >= 0 || *p.sent < -1.1*traffic.kilobits {
			t.Errorf("the truth is %.0f all the time, and the chart shows %s", traffic.kilobits, p)
		}
	}
	traffic.stop(t)
	agent.stop(t)
}
