package endtoend_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

// datagram is what a datagram of sendToItself adds to its port, in and out: each
// time 100 bytes with the headers of IPv4 and UDP.
const datagram = 2 * (100 + 28)

// TestPrometheusCountsAFleet lets a real Prometheus scrape three agents. alice is
// on two of the servers, and one client.
func TestPrometheusCountsAFleet(t *testing.T) {
	require(t, "prometheus", "curl", "ss")
	t.Parallel()
	var servers []product
	var agents []agent
	var namespaces []namespace
	startAgent := func(server product) agent {
		return server.startAgent(t, "--save-interval", "1h",
			"--port", "20000=alice", "--port", "20001=bob", "--port", "20002", "--warn", fmt.Sprintf("alice=%dB", 30*datagram))
	}
	var exporters []*program
	for range 3 {
		server := newServer(t)
		exporters = append(exporters, server.startMetrics(t, "0.0.0.0"))
		servers, namespaces = append(servers, server), append(namespaces, server.namespace)
		agents = append(agents, startAgent(server))
	}
	monitor, targets := newMonitor(t, namespaces...)
	storage := filepath.Join(sharedDirectory(t), "storage")
	p := startPrometheus(t, monitor, targets, "rule_files: [ssmonitor.rules.yml]\n", "--storage.tsdb.path="+storage)
	exporters[0].waitSaying(t, "without TLS and authentication")
	monitor.waitValue(t, 9090, `count(ssmonitor:port_bytes:day)`, 9)

	const total, day = `sum(ssmonitor_port_bytes_total{name=%q})`, `ssmonitor:client_bytes:day{client=%q}`
	const month, perAgent = `ssmonitor:client_bytes:month{client=%q}`, `ssmonitor:client_month_bytes{client=%q}`
	sent := map[string]int{"alice": 0, "bob": 0}
	send := func(server int, client string, port, datagrams int) {
		servers[server].sendToItself(t, port, datagrams)
		sent[client] += datagrams * datagram
	}
	expect := func(t *testing.T, formats ...string) {
		t.Helper()
		for client, bytes := range sent {
			for _, format := range formats {
				p.waitValue(t, 9090, fmt.Sprintf(format, client), float64(bytes))
			}
		}
	}
	t.Run("to the byte", func(t *testing.T) {
		send(0, "alice", 20000, 11)
		send(1, "alice", 20000, 17)
		send(1, "bob", 20001, 5)
		send(2, "bob", 20001, 3)
		expect(t, total, day, month)
		p.waitAlert(t, "SsmonitorClientOverLimit", false)
	})
	t.Run("an agent is restarted", func(t *testing.T) {
		agents[0].stop(t)
		send(0, "alice", 20000, 7) // counted while no agent runs
		agents[0] = startAgent(servers[0])
		expect(t, total, day, month)
	})
	t.Run("an agent is killed", func(t *testing.T) {
		agents[1].signal(syscall.SIGKILL)
		p.waitAlert(t, "SsmonitorDown", true)
		send(1, "alice", 20000, 4)
		// Its usage stays although it can't be scraped.
		p.waitValue(t, 9090, fmt.Sprintf(day, "alice"), float64(sent["alice"]-4*datagram))
		agents[1] = startAgent(servers[1])
		expect(t, total, day, month)
		p.waitAlert(t, "SsmonitorDown", false)
	})
	t.Run("a server loses power", func(t *testing.T) {
		send(2, "bob", 20001, 9)
		expect(t, total)
		p.waitScrapes(t, 3) // the scrape has saved; nothing else does for an hour
		agents[2].kill()
		servers[2].sendToItself(t, 20001, 2) // lost with the power
		servers[2].run(t, "nft", "flush", "ruleset")
		agents[2] = startAgent(servers[2])
		agents[2].waitSaying(t, "counting")
		send(2, "bob", 20001, 6)
		expect(t, total, day, month)
	})
	t.Run("the month as the agents have it", func(t *testing.T) {
		expect(t, perAgent) // the agents ask their databases every 10 s
		p.waitAlert(t, "SsmonitorClientOverLimit", true)
	})
	t.Run("no counter went back and no rate was more than what was sent", func(t *testing.T) {
		p.waitValue(t, 9090, `max(resets(ssmonitor_port_bytes_total[5m]))`, 0)
		p.waitValue(t, 9090, `count(min_over_time(deriv(ssmonitor_port_bytes_total[3s])[3m:1s]) < 0) or vector(0)`, 0)
		highest, err := p.value(9090, `max(max_over_time(irate(ssmonitor_port_bytes_total[5s])[3m:1s]))`)
		if err != nil || highest > 30*datagram {
			t.Errorf("got a rate of %.0f, %v", highest, err)
		}
	})
	t.Run("what others do to the table is reported", func(t *testing.T) {
		servers[0].run(t, "nft", "delete", "table", "inet", "ssmonitor")
		servers[1].run(t, "nft", "reset", "counters")
		p.waitAlert(t, "SsmonitorTableRepaired", true)
		p.waitAlert(t, "SsmonitorCountersReset", true)
		p.waitAlert(t, "SsmonitorTableRepaired", false)
		p.waitAlert(t, "SsmonitorCountersReset", false)
		expect(t, total, day, month) // nothing passed meanwhile
	})
	t.Run("the dashboard's queries", func(t *testing.T) { expectDashboardQueries(t, p) })
	t.Run("the state is removed", func(t *testing.T) {
		before, err := p.value(9090, fmt.Sprintf(day, "bob"))
		if err != nil {
			t.Fatal(err)
		}
		agents[2].stop(t)
		servers[2].succeed(t, "teardown", "--purge")
		agents[2] = startAgent(servers[2])
		agents[2].waitSaying(t, "counting")
		p.waitAlert(t, "SsmonitorTotalsLost", true)
		p.waitScrapes(t, 3)
		servers[2].sendToItself(t, 20001, 8)
		p.waitValue(t, 9090, fmt.Sprintf(day, "bob"), before+8*datagram)
		p.waitValue(t, 9090, `count(ssmonitor:client_bytes:day < 0) or vector(0)`, 0)
	})
}
