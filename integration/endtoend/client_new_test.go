package endtoend_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
)

// beginnings collects what the client's kernel had counted when each client began.
type beginnings struct {
	server product
	client namespace
	since  traffic
	used   map[string]traffic
}

// use lets a client exchange datagrams with the server, and adds what the client's
// kernel counted.
func (b *beginnings) use(t *testing.T, name string, datagrams int) {
	t.Helper()
	b.client.exchange(t, serverIPv4+":20000", datagrams, 1300)
	now := b.client.statistics(t, link)
	minus := func(a, b accounting.Count) accounting.Count {
		return accounting.Count{Packets: a.Packets - b.Packets, Bytes: a.Bytes - b.Bytes}
	}
	used := b.used[name] // what the client sends is in at the server
	used.in, used.out = used.in.Plus(minus(now.out, b.since.out)), used.out.Plus(minus(now.in, b.since.in))
	b.used[name], b.since = used, now
}

func newBeginnings(t *testing.T) *beginnings {
	t.Helper()
	server, client := newServerAndClient(t)
	server.serve(t, 20000)
	return &beginnings{server: server, client: client, used: make(map[string]traffic), since: client.statistics(t, link)}
}

// TestBooksCloseWhenAPortChangesHands gives the port away long before the next reading
// and the next save, with an agent and without one.
func TestBooksCloseWhenAPortChangesHands(t *testing.T) {
	require(t, "sqlite3")
	t.Parallel()
	b := newBeginnings(t)
	ssmonitor := b.server
	run := func() agent {
		t.Helper()
		agent := ssmonitor.startAgent(t, "--interval", "1h", "--save-interval", "1h", "--port", "20000=bob")
		agent.waitSaying(t, "counting")
		return agent
	}
	expect := func(what string) {
		t.Helper()
		ssmonitor.expectUsage(t, nil, b.used)
		if t.Failed() {
			t.Fatalf("%s: the books are wrong", what)
		}
	}
	agent := run()
	b.use(t, "bob", 300)
	printed := ssmonitor.succeed(t, "client", "new", "20000", "dave")
	if printed != "Port 20000 belongs to dave from now on.\n" {
		t.Errorf("the command prints %q", printed)
	}
	expect("at once")
	for _, path := range []string{"/v1/ports", "/metrics"} {
		if status, body := agent.get(t, path); status != http.StatusOK || !strings.Contains(body, `"dave"`) || strings.Contains(body, `bytes_total{port="20000",name="bob"`) {
			t.Errorf("GET %s does not name dave alone: %d %s", path, status, body)
		}
	}
	if log := agent.stderr.String(); !strings.Contains(log, "client=dave") {
		t.Errorf("the agent does not log the change:\n%s", log)
	}
	b.use(t, "dave", 150)
	agent.stop(t)
	expect("after the agent's end")

	b.use(t, "dave", 100)
	ssmonitor.fail(t, 2, []string{"port 20009: nothing was ever counted"}, "client", "new", "20009", "erin")
	ssmonitor.fail(t, 1, []string{"port 20000 belongs to", "another name"}, "client", "new", "20000", "dave")
	ssmonitor.succeed(t, "client", "new", "20000", "erin")
	expect("without an agent")
	b.use(t, "erin", 60)
	agent = run() // its source still says bob, which is no change
	b.use(t, "erin", 60)
	ssmonitor.succeed(t, "client", "new", "20000", "dave")
	b.use(t, "dave", 50)
	agent.kill()
	b.use(t, "dave", 50)
	ssmonitor.succeed(t, "client", "new", "20000", "erin")
	b.use(t, "erin", 100)
	ssmonitor.succeed(t, "teardown")
	expect("after teardown")

	// The command can't read the counters: nothing is counted here any more.
	if printed := ssmonitor.succeed(t, "client", "new", "20000", "frank"); !strings.Contains(printed, "frank from the next start of the agent on") {
		t.Errorf("without counters, the command prints %q", printed)
	}
	expect("without counters")
	agent = run()
	if list := ssmonitor.succeed(t, "client", "list"); !strings.Contains(list, "frank") {
		t.Errorf("the list of clients lacks frank:\n%s", list)
	}
	b.use(t, "frank", 60)
	agent.stop(t)
	expect("by the next agent")

	// It runs where the counters are not: what they have counted is not frank's.
	b.use(t, "frank", 60)
	elsewhere := ssmonitor
	elsewhere.namespace = newNamespace(t)
	elsewhere.succeed(t, "client", "new", "20000", "grace")
	b.use(t, "frank", 60)
	agent = run()
	b.use(t, "grace", 60)
	agent.stop(t)
	expect("from another namespace")
	ssmonitor.expectSound(t)
}

// TestPortChangesHandsUnderTraffic changes the client again and again while packets
// pass: no byte is lost or booked twice.
func TestPortChangesHandsUnderTraffic(t *testing.T) {
	t.Parallel()
	const clients = 12
	server := newServer(t)
	agent := server.startCounting(t, "--save-interval", "300ms", "--port", "20000=client-0", "--port", "20001=bob")
	sender := server.startSending(t, sending{to: "127.0.0.1:20000", perSecond: 2000, size: 100, count: 100})
	received := func(client int) traffic {
		answer := server.usage(t, "--by", "total")
		return answer.clients()[fmt.Sprintf("client-%d", client)]
	}
	agent.waitPackets(t, 50)
	last := agent.packetsIn(t, 20000)
	for i := 1; i < clients; i++ {
		server.succeed(t, "client", "new", "20000", fmt.Sprintf("client-%d", i))
		previous := received(i - 1)
		agent.waitPackets(t, last+50)
		last = agent.packetsIn(t, 20000)
		// The books of the previous client are closed.
		if now := received(i - 1); now != previous {
			t.Errorf("client %d had %+v when its port was given away, and has %+v", i-1, previous, now)
		}
	}
	sent := uint64(sender.stop(t))
	agent.stop(t)
	answer := server.usage(t, "--by", "total")
	var sum accounting.Count
	for name, used := range answer.clients() {
		sum = sum.Plus(used.in)
		if used.in.Packets == 0 {
			t.Errorf("%s has used nothing", name)
		}
	}
	if want := (accounting.Count{Packets: sent, Bytes: 128 * sent}); sum != want || len(answer.clients()) != clients {
		t.Errorf("%d clients have received %+v, want %d and %+v", len(answer.clients()), sum, clients, want)
	}
	server.expectSound(t)
}

// waitPackets waits until so many packets have arrived at port 20000.
func (a agent) waitPackets(t *testing.T, packets uint64) {
	t.Helper()
	eventually(t, func() error {
		if got := a.packetsIn(t, 20000); got < packets {
			return fmt.Errorf("%d packets are counted, want %d", got, packets)
		}
		return nil
	})
}

// TestClientNewWaitsForTheAgent runs the command at any moment of the agent's start and
// end: it never fails, and no agent fails because of it.
func TestClientNewWaitsForTheAgent(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--save-interval", "0s", "--port", "20000=client", "--port", "20001=bob")
	agent.stop(t)
	for i := range 15 {
		agent = server.startAgent(t, "--port", "20000=client", "--port", "20001=bob")
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // each round meets another moment of the start
		first := begin(t, server.ssmonitor(nil, "client", "new", "20000", fmt.Sprintf("first-%d", i)))
		first.endsWith(t, 0)
		agent.waitSaying(t, "counting")
		second := begin(t, server.ssmonitor(nil, "client", "new", "20000", fmt.Sprintf("second-%d", i)))
		time.Sleep(time.Duration(i) * time.Millisecond)
		agent.stop(t)
		second.endsWith(t, 0)
	}
	if got := strings.Count(server.succeed(t, "client", "list"), "20000  "); got != 31 {
		t.Errorf("port 20000 had %d clients, want 31", got)
	}
	server.expectSound(t)
}

// TestClientNewOutlivesTheAgent kills the agent at any moment of a request: the port
// changes hands once, and no byte is lost.
func TestClientNewOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	const rounds = 20
	server := newServer(t)
	for i := range rounds {
		agent := server.startAgent(t, "--interval", "1h", "--save-interval", "1h", "--port", "20000=client")
		agent.waitSaying(t, "counting")
		server.sendToItself(t, 20000, 10)
		command := begin(t, server.ssmonitor(nil, "client", "new", "20000", fmt.Sprintf("client-%d", i)))
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // each round meets another moment of the request
		agent.kill()
		command.endsWith(t, 0)
	}
	want := map[string]traffic{"client": loopbackTraffic(10)}
	for i := range rounds - 1 {
		want[fmt.Sprintf("client-%d", i)] = loopbackTraffic(10)
	}
	answer := server.usage(t)
	answer.expect(t, "usage", want)
	server.expectSound(t)
}
