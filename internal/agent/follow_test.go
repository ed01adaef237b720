package agent

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/health"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// publishingAgent returns an agent that can do nothing but publish, and what it logs.
func publishingAgent(t *testing.T, hook nft.Hook) (a *agent, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	a = newTestAgent(t, log, func(s *settings.Settings) { s.Hook = hook })
	a.meter = accounting.NewMeter(accounting.MeterOptions{Table: openTable(t), Store: refusing{}, Log: newLog(io.Discard)})
	return a, log
}

// bothPorts returns two ports, of which the second one is published.
func bothPorts() accounting.Ports {
	return accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP}, {Number: 20001, Protocols: accounting.TCPAndUDP, Published: true}}
}

// wantPublished expects marks at the two ports.
func wantPublished(t *testing.T, step string, ports accounting.Ports, first, second bool) {
	t.Helper()
	if len(ports) != 2 || ports[0].Published != first || ports[1].Published != second {
		t.Errorf("%s: got the ports %+v, want them published: %t and %t", step, ports, first, second)
	}
}

// TestListIsAppliedBeforeTheReading has setup add a port while the agent runs.
func TestListIsAppliedBeforeTheReading(t *testing.T) {
	list := filepath.Join(t.TempDir(), "ports")
	testkit.WriteFile(t, list, "20000\n")
	var log bytes.Buffer
	a := open(t, newTestAgent(t, &log, func(s *settings.Settings) { s.Ports, s.List = nil, list }))
	a.endInterval(t.Context())
	openTable(t, bothPorts()...)
	testkit.WriteFile(t, list, "20000\n20001\n")
	a.endInterval(t.Context())
	if len(a.meter.Ports()) != 2 || strings.Contains(log.String(), "not in force") {
		t.Errorf("the ports %v are in force, and the log is\n%s", a.meter.Ports(), &log)
	}
}

// TestRefusedListIsAProblem has a mistake in the list until it is corrected.
func TestRefusedListIsAProblem(t *testing.T) {
	list := filepath.Join(t.TempDir(), "ports")
	testkit.WriteFile(t, list, "20000\n")
	var log bytes.Buffer
	a := open(t, newTestAgent(t, &log, func(s *settings.Settings) { s.Ports, s.List = nil, list }))
	for _, step := range []struct {
		content string
		want    health.ID // empty: no problem
	}{{"20000\n", ""}, {"eighty\n", health.PortList}, {"eighty-one\n", health.PortList}, {"20001\n", ""}} {
		testkit.WriteFile(t, list, step.content)
		a.endInterval(t.Context())
		problems := a.board.Problems()
		if step.want == "" && len(problems) > 0 || step.want != "" && (len(problems) != 1 || problems[0].ID != step.want) {
			t.Errorf("%q: got %+v, want %q", step.content, problems, step.want)
		}
	}
	if got := strings.Count(log.String(), "the sources of ports are read again"); got != 1 {
		t.Errorf("got the log\n%s", &log)
	}
}

// TestFailuresAreProblems has ports that can't be installed until a tick repairs the table,
// and no control socket.
func TestFailuresAreProblems(t *testing.T) {
	a := open(t, newTestAgent(t, io.Discard, nil))
	a.board.Observe(health.NewPorts, errors.New("refused"))
	a.tick(t.Context())
	if problems := a.board.Problems(); len(problems) > 0 {
		t.Errorf("after a tick: got %+v", problems)
	}
	a.control.err = errors.New("no place")
	a.serveControl(t.Context())
	if problems := a.board.Problems(); len(problems) != 1 || problems[0].ID != health.ControlSocket {
		t.Errorf("without a control socket: got %+v", problems)
	}
}

// TestRepublish has rules of a container engine come and go beside a target of the
// settings, which stays.
func TestRepublish(t *testing.T) {
	a, log := publishingAgent(t, nft.HookHost)
	found := sources.Result{Ports: bothPorts()}
	found.Targets = []accounting.Target{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("172.17.0.9:8388"), Port: 20001}}
	if err := errors.Join(a.applyForwarding(&found), a.meter.SetPorts(found.Ports)); err != nil {
		t.Fatal(err)
	}
	wantPublished(t, "at first", a.meter.Ports(), false, true)

	testkit.NFT(t, "table ip nat { chain c { type nat hook prerouting priority dstnat; tcp dport 20000 dnat to 172.17.0.2:8388; }; }")
	a.refreshForwarding()
	wantPublished(t, "with a rule", a.meter.Ports(), true, true)
	for _, address := range []string{"172.17.0.2", "172.17.0.9"} {
		if table := testkit.NFT(t, "list table inet ssmonitor"); !strings.Contains(table, address+` . tcp . 8388`) {
			t.Errorf("%s is not counted in\n%s", address, table)
		}
	}
	testkit.NFT(t, "delete table ip nat")
	a.refreshForwarding()
	wantPublished(t, "without the rule", a.meter.Ports(), false, true)
	if text := log.String(); strings.Contains(text, "ERROR") {
		t.Errorf("the agent logs\n%s", text)
	}
}

// TestFailedDecision has an agent that can't look at the rules: the ports keep their
// marks, and new ones those of the list. It looks again.
func TestFailedDecision(t *testing.T) {
	a, log := publishingAgent(t, nft.HookHost)
	if err := a.meter.SetPorts(bothPorts()[1:]); err != nil {
		t.Fatal(err)
	}
	testkit.DropCapabilities(t)
	given := bothPorts()
	given[0].Published, given[1].Published = true, false
	found := sources.Result{Ports: given, Entries: []portlist.Entry{{Port: given[0]}, {Port: given[1]}}}
	if err := a.applyForwarding(&found); err != nil || !strings.Contains(log.String(), "where ports are published to can't be determined") {
		t.Errorf("got %v and the log\n%s", err, log)
	}
	wantPublished(t, "of the result", found.Ports, true, true)
	wantPublished(t, "that were given", given, true, false)
}

// TestPublishAtTheContainerHook has ports that were published when the hook was
// another one. All are counted before that now.
func TestPublishAtTheContainerHook(t *testing.T) {
	a, _ := publishingAgent(t, nft.HookContainer)
	found := sources.Result{Ports: bothPorts()}
	if err := a.applyForwarding(&found); err != nil {
		t.Fatal(err)
	}
	wantPublished(t, "at the container hook", found.Ports, false, false)
}

// TestEarlierUsageStays has the database unreadable when names are resolved: what earlier
// clients used stays known, so that metrics don't step up, and back later.
func TestEarlierUsageStays(t *testing.T) {
	a := open(t, newTestAgent(t, io.Discard, nil))
	key := accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.In}
	a.meter.SetEarlier(map[accounting.Key]accounting.Count{key: {Bytes: 1000, Packets: 1}})
	a.resolve(a.settings.Ports)
	if got := earlierOf(t, a); got != 0 {
		t.Fatalf("the ledger has no earlier client, got %d bytes", got)
	}
	a.meter.SetEarlier(map[accounting.Key]accounting.Count{key: {Bytes: 1000, Packets: 1}})
	if err := a.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	a.resolve(a.settings.Ports)
	if got := earlierOf(t, a); got != 1000 {
		t.Errorf("without a database, earlier clients used %d bytes, want 1000 as before", got)
	}
}

func earlierOf(t *testing.T, a *agent) uint64 {
	t.Helper()
	if err := a.meter.Read(); err != nil {
		t.Fatal(err)
	}
	return a.meter.Report().Ports[0].UDP.In.Earlier.Bytes
}
