package endtoend_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// loopbackTraffic is what a port counts of datagrams of sendToItself.
func loopbackTraffic(datagrams uint64) traffic {
	const size = 20 + 8 + 100 // with the headers of IPv4 and UDP
	one := accounting.Count{Packets: datagrams, Bytes: size * datagrams}
	return traffic{in: one, out: one}
}

func TestUsageBelongsToClients(t *testing.T) {
	require(t, "sqlite3")
	t.Parallel()
	server := newServer(t)
	setup := func(first string) {
		server.succeed(t, "setup", "--no-search", "--list", server.list, "--port", "20000="+first, "--port", "20001=bob", "--port", "20002="+first, "--port", "20003")
	}
	setup("alice")
	run := func() agent { return server.startCounting(t, "--save-interval", "1s", "--list", server.list) }
	agent := run()
	for port, datagrams := range map[int]int{20000: 10, 20001: 5, 20002: 7, 20003: 3} {
		server.sendToItself(t, port, datagrams)
	}
	want := map[string]traffic{"alice": loopbackTraffic(17), "bob": loopbackTraffic(5), "port 20003": loopbackTraffic(3)}
	server.waitUsage(t, want)
	month := server.usage(t, "--client", "alice")
	if clients := month.Periods[0].Clients; len(clients) != 1 || fmt.Sprint(clients[0].Ports) != "[20000 20002]" {
		t.Errorf("a client with two ports is %+v", clients)
	}

	// A new name in the list is the same client.
	setup("alicia")
	want = map[string]traffic{"alicia": loopbackTraffic(17), "bob": loopbackTraffic(5), "port 20003": loopbackTraffic(3)}
	server.waitUsage(t, want)
	server.fail(t, 2, []string{"alicia"}, "usage", "--client", "alice")

	// Another person gets the port.
	server.succeed(t, "client", "new", "--list", server.list, "20000", "dave")
	agent.waitNamed(t, "dave")
	server.sendToItself(t, 20000, 4)
	server.sendToItself(t, 20002, 2)
	want["alicia"], want["dave"] = loopbackTraffic(19), loopbackTraffic(4)
	server.waitUsage(t, want)
	agent.stop(t)
	stopped := server.usage(t)
	stopped.expect(t, "stopped", want)
	list := server.succeed(t, "client", "list")
	for _, words := range []string{"20000  alicia", "20000  dave", "20001  bob", "20002  alicia", "20003"} {
		if !strings.Contains(list, words) {
			t.Errorf("the list of clients lacks %q:\n%s", words, list)
		}
	}

	// The former name does not take the port back, another one renames the client that
	// has it. A port changes hands without an agent as well.
	server.fail(t, 2, []string{`port 20000 is "dave"'s`, "client new 20000 NAME"}, "setup", "--no-search", "--list", server.list, "--port", "20000=alicia")
	server.succeed(t, "client", "new", "--list", server.list, "20001", "erin")
	agent = run()
	server.sendToItself(t, 20000, 1)
	server.sendToItself(t, 20001, 1)
	want["dave"], want["erin"] = loopbackTraffic(5), loopbackTraffic(1)
	server.waitUsage(t, want)
	server.succeed(t, "client", "rename", "--list", server.list, "dave", "david")
	want["david"] = want["dave"]
	delete(want, "dave")
	server.waitUsage(t, want)
	agent.waitNamed(t, "david")
	agent.stop(t)

	var kernel traffic
	for port := 20000; port < 20004; port++ {
		counted := server.counted(t, port)
		kernel.in, kernel.out = kernel.in.Plus(counted.in), kernel.out.Plus(counted.out)
	}
	all := server.usage(t, "--by", "total")
	if got := (traffic{in: all.Total.In, out: all.Total.Out}); got != kernel {
		t.Errorf("the total is %+v, the kernel counted %+v", got, kernel)
	}
	views := server.usageOfView(t, nil, "usage_daily")
	views["port 20003"] = views["20003"]
	delete(views, "20003")
	expectEqual(t, "usage_daily", views, want)
}

// waitNamed waits until GET /v1/ports has the name.
func (a agent) waitNamed(t *testing.T, name string) {
	t.Helper()
	eventually(t, func() error {
		status, body := a.get(t, "/v1/ports")
		if status != http.StatusOK || !strings.Contains(body, `"`+name+`"`) {
			return fmt.Errorf("GET /v1/ports does not name %s: %d %s", name, status, body)
		}
		return nil
	})
}

func TestWarningIsLoggedOnce(t *testing.T) {
	t.Parallel()
	const warning = "has used more than its monthly limit"
	server := newServer(t)
	settings := server.settings(t, "warn:\n  alice: 2kB\n  bob: 2kB\n")
	start := func() agent {
		return server.startCounting(t, "--config", settings, "--save-interval", "0s",
			"--port", "20000=alice", "--port", "20001=bob", "--port", "20002=carol")
	}
	warnings := func(a agent, want ...string) {
		t.Helper()
		a.waitIntervals(t, 3)
		if got := strings.Count(a.stderr.String(), warning); got != len(want) {
			t.Errorf("%d warnings are logged, want %v:\n%s", got, want, &a.stderr)
		}
		for _, client := range want {
			if !strings.Contains(a.stderr.String(), "client="+client) {
				t.Errorf("no warning names %s:\n%s", client, &a.stderr)
			}
		}
	}
	agent := start()
	server.sendToItself(t, 20000, 7) // 1,792 bytes
	server.sendToItself(t, 20002, 50)
	warnings(agent)
	server.sendToItself(t, 20000, 1)
	agent.waitSaying(t, warning)
	server.sendToItself(t, 20000, 10)
	warnings(agent, "alice")
	_, body := agent.get(t, "/v1/usage")
	var answer usageAnswer
	decodeUsage(t, body, &answer)
	expectLimit(t, answer, "alice", 18*256, true)
	agent.stop(t)

	agent = start()
	warnings(agent)
	agent.kill()
	server.sendToItself(t, 20001, 8) // while no agent runs
	agent = start()
	agent.waitSaying(t, warning)
	warnings(agent, "bob")
	agent.stop(t)

	answer = server.usage(t, "--config", settings)
	expectLimit(t, answer, "alice", 18*256, true)
	expectLimit(t, answer, "bob", 8*256, true)
	table := server.succeed(t, "usage", "--config", settings)
	_, over, _ := strings.Cut(table, "Over the monthly limit:")
	if strings.Count(over, "of 2 kB") != 2 || strings.Contains(over, "carol") {
		t.Errorf("the table does not name who is over the limit:\n%s", table)
	}
}

func expectLimit(t *testing.T, answer usageAnswer, client string, used uint64, over bool) {
	t.Helper()
	for _, limit := range answer.Limits {
		if limit.Client == client && limit.Used == used && limit.Limit == 2000 && limit.Over == over {
			return
		}
	}
	t.Errorf("the limits lack %s with %d bytes: %+v", client, used, answer.Limits)
}
