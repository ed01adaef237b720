package nft

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// expectCounting verifies the ports from another socket, which looks at
// everything.
func expectCounting(t *testing.T, ports accounting.Ports) {
	t.Helper()
	if findings := verify(t, open(t, Options{}), ports); len(findings) > 0 {
		t.Errorf("another socket finds %q, want nothing", findings)
	}
}

// expectVerified verifies the ports and expects that it takes no message.
func expectVerified(t *testing.T, table *Table, ports accounting.Ports, after string) {
	t.Helper()
	read(t, table)
	before := table.conn.Sequence
	findings := verify(t, table, ports)
	if sent := table.conn.Sequence - before; len(findings) > 0 || sent > 0 {
		t.Errorf("after %s: verifying took %d messages and found %q, want neither", after, sent, findings)
	}
	expectCounting(t, ports)
}

// TestOwnChangesKeepTheTableVerified makes every change that an agent makes.
func TestOwnChangesKeepTheTableVerified(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(4)
	do := func(what string, ports accounting.Ports, change func() error) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		expectVerified(t, table, ports, what)
	}
	do("the first Install", ports[:2], func() error { return table.Install(ports[:2]) })
	do("Install of nothing new", ports[:2], func() error { return table.Install(ports[:2]) })
	do("Install of more", ports[:3], func() error { return table.Install(ports[:3]) })
	do("Attach", ports, func() error { return table.Attach(ports[3:]) })
	do("Attach of nothing new", ports, func() error { return table.Attach(ports) })
	do("Detach", ports[1:], func() error { return table.Detach(ports[:1].Keys()) })
	do("Attach of a detached port", ports, func() error { return table.Attach(ports[:1]) })
	do("Detach again", ports[1:], func() error { return table.Detach(ports[:1].Keys()) })
	do("Delete", ports[1:], func() error { return table.Delete(ports[:1].Keys()) })
	do("Attach of a deleted port", ports, func() error { return table.Attach(ports[:1]) })

	nftCommand(t, "flush chain inet ssmonitor input; add quota inet ssmonitor other { over 10 mbytes; }")
	do("a repair", ports, func() error { return table.Install(ports) })
	nftCommand(t, "add table inet ssmonitor { flags dormant; }")
	do("a repair of a dormant table", ports, func() error { return table.Install(ports) })
	nftCommand(t, "flush ruleset\n"+nftCommand(t, "list ruleset"))
	do("a replacement of a loaded table", ports, func() error { return table.Install(ports) })
	if err := table.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := table.Attach(ports); !errors.Is(err, accounting.ErrChanged) {
		t.Errorf("Attach after Remove: got %v, want ErrChanged", err)
	}
}

// TestDetachedPortsAreNotVerified verifies a port that was detached.
func TestDetachedPortsAreNotVerified(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(2)
	install(t, table, ports)
	if err := table.Detach(ports[:1].Keys()[3:]); err != nil {
		t.Fatal(err)
	}
	read(t, table)
	if findings := verify(t, table, ports); len(findings) != 1 || findings[0] != "not counting: counter udp-20000-out" {
		t.Errorf("got %q, want the detached counter", findings)
	}
}

func TestAttachedPortsCount(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	if err := table.Attach(portList(2)[1:]); err != nil {
		t.Fatal(err)
	}
	sendUDP(t, "127.0.0.1:20001", 5, 10)
	readings := read(t, table)
	if got := readings[udpIn20001]; len(readings) != 8 || got.Count.Packets == 0 || got.Loaded {
		t.Errorf("got %d counters and %+v for %s, want 8 and a count", len(readings), got, udpIn20001)
	}
}

// TestAttachAfterChangesOfOthers changes the ruleset before each message of a
// reading, a verification and an attachment in turn.
func TestAttachAfterChangesOfOthers(t *testing.T) {
	tests := []struct{ name, script, undo string }{
		{"our chain", "flush chain inet ssmonitor input", ""},
		{"another table", "add table inet other", "delete table inet other"},
		{"our table", "delete table inet ssmonitor", ""},
		{"the attached port", "add counter inet ssmonitor tcp-20001-in; add counter inet ssmonitor tcp-20001-out; " +
			`add element inet ssmonitor ports-in { tcp . 20001 : "tcp-20001-out" }`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t)
			first, both := portList(1), portList(2)
			refused := 0
			for step, sends := 0, 1; sends > step; step++ {
				table := open(t, Options{})
				install(t, table, first)
				var sample accounting.Sample
				beforeMessage(table, step, &sends, func() { nftCommand(t, test.script) })
				_ = table.Read(&sample) // the table may be missing
				_ = verify(t, table, first)
				err := table.Attach(both[1:])
				table.conn.beforeSend = nil
				changed := sends > step
				switch {
				case errors.Is(err, accounting.ErrChanged) && changed:
					refused++
					if got := nftCommand(t, "list ruleset"); strings.Contains(got, "20001") && !strings.Contains(test.script, "20001") {
						t.Errorf("changed before message %d: the port was added although %v:\n%s", step, err, got)
					}
				case err != nil || changed && strings.Contains(test.script, "ssmonitor"):
					t.Errorf("changed before message %d: got %v, want ErrChanged", step, err)
				}
				install(t, table, both)
				expectVerified(t, table, both, "Install")
				if err := table.Remove(); err != nil {
					t.Fatal(err)
				}
				if test.undo != "" && changed {
					nftCommand(t, test.undo)
				}
			}
			if refused == 0 {
				t.Error("no attachment was refused")
			}
		})
	}
}

// TestChangesOfOthersBetweenOwnChanges has another process change the ruleset
// before each message of our own changes in turn. Afterwards the table must not
// be taken for verified.
func TestChangesOfOthersBetweenOwnChanges(t *testing.T) {
	ports := portList(3)
	for _, own := range []struct {
		name   string
		change func(*Table) error
	}{
		{"Detach", func(table *Table) error { return table.Detach(ports[:1].Keys()) }},
		{"Delete", func(table *Table) error { return table.Delete(portList(4)[3:].Keys()) }},
		{"Install", func(table *Table) error { return table.Install(ports) }},
	} {
		t.Run(own.name, func(t *testing.T) {
			inNamespace(t)
			for step, sends := 0, 1; sends > step; step++ {
				table := open(t, Options{})
				install(t, table, portList(4))
				if err := table.Detach(portList(4)[2:].Keys()); err != nil {
					t.Fatal(err)
				}
				read(t, table)
				verify(t, table, ports[:2])
				beforeMessage(table, step, &sends, func() { nftCommand(t, "flush chain inet ssmonitor output") })
				if err := own.change(table); err != nil {
					t.Fatal(err)
				}
				table.conn.beforeSend = nil
				read(t, table)
				findings := verify(t, table, ports[1:2])
				if repaired := own.name == "Install" && len(findings) == 0; sends > step && len(findings) != 1 && !repaired {
					t.Errorf("changed before message %d: got %q, want the lost rule", step, findings)
				}
				if len(findings) == 0 {
					expectCounting(t, ports[1:2])
				}
				if err := table.Remove(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestOnePortCostsNoMoreThanItself adds and removes one port among many. It
// counts the messages and the memory of that and of the next reading and
// verification.
func TestOnePortCostsNoMoreThanItself(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.SetForwarding(accounting.Forwarding{Known: true})
	ports := portList(2000)
	one, others := ports[1000:1001], slices.Delete(slices.Clone(ports), 1000, 1001)
	install(t, table, others)
	var sample accounting.Sample
	measure := func(change func() error) (messages uint32, memory uint64) {
		t.Helper()
		var before, after runtime.MemStats
		sent := table.conn.Sequence
		runtime.ReadMemStats(&before)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return table.conn.Sequence - sent, after.TotalAlloc - before.TotalAlloc
	}
	look := func(ports accounting.Ports) func() error {
		return func() error {
			if err := table.Read(&sample); err != nil {
				return err
			}
			findings, err := table.Verify(ports)
			if len(findings) > 0 {
				t.Errorf("got %q, want nothing", findings)
			}
			return err
		}
	}
	const ofReading = 3 // the dump, the generation and the table
	for round := range 3 {
		for _, step := range []struct {
			name     string
			change   func() error
			messages uint32
		}{
			{"a reading", look(others), ofReading},
			{"Attach", func() error { return table.Attach(one) }, 2 + 4 + 2}, // the batch, counters, elements of two maps
			{"a reading", look(ports), ofReading},
			{"Detach", func() error { return table.Detach(one.Keys()) }, 2 + 4},
			{"a reading", look(others), ofReading},
			{"Delete", func() error { return table.Delete(one.Keys()) }, 2 + 4},
		} {
			messages, memory := measure(step.change)
			if messages != step.messages {
				t.Errorf("%s takes %d messages, want %d", step.name, messages, step.messages)
			}
			if round > 0 && memory > 16<<10 {
				t.Errorf("%s takes %d bytes of memory, want less than 16 KiB", step.name, memory)
			}
		}
	}
}

// TestReaderFollowsOwnChanges adds and deletes ports in the middle of the list.
func TestReaderFollowsOwnChanges(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(6)
	install(t, table, ports)
	for _, limit := range []int{dumpLimit, 1} { // by a dump, then by single requests
		table.reader.dumpLimit = limit
		read(t, table)
		other := open(t, Options{})
		first := ports[:1].Keys()
		if err := errors.Join(other.Detach(first), other.Delete(first), other.Install(ports)); err != nil {
			t.Fatal(err)
		}
		read(t, table)
		verify(t, table, ports)
		if limit == dumpLimit && table.known.counters.keys[23] != first[3] {
			t.Errorf("re-created by others: the last counter is %s, want %s", table.known.counters.keys[23], first[3])
		}
		for round := range 3 {
			read(t, table)
			middle := ports[2:4].Keys()
			if err := errors.Join(table.Detach(middle), table.Delete(middle)); err != nil {
				t.Fatal(err)
			}
			if round > 0 {
				if got := read(t, table); len(got) != 16 || table.known.counters.len() != 16 {
					t.Errorf("after Delete: got %d counters, %d known, want 16", len(got), table.known.counters.len())
				}
			}
			if err := table.Attach(ports[2:4]); err != nil {
				t.Fatal(err)
			}
			if round > 1 {
				continue
			}
			if got := read(t, table); len(got) != 24 || table.known.counters.len() != 24 {
				t.Errorf("after Attach: got %d counters, %d known, want 24", len(got), table.known.counters.len())
			}
		}
		before := table.conn.Sequence
		var sample accounting.Sample
		if err := table.Read(&sample); err != nil || len(sample.Readings) != 24 {
			t.Errorf("got %d counters, %v, want 24", len(sample.Readings), err)
		}
		for i, reading := range sample.Readings {
			if reading.Key != table.known.counters.keys[i] {
				t.Errorf("counter %d is %s, expected is %s", i, reading.Key, table.known.counters.keys[i])
			}
		}
		sent, want := table.conn.Sequence-before, uint32(3)
		if limit == 1 {
			want = 2 + 24 + 2
		}
		if sent != want {
			t.Errorf("with a limit of %d a reading takes %d messages, want %d", limit, sent, want)
		}
		if slices.Contains(table.known.counters.keys, accounting.Key{}) {
			t.Errorf("gaps are left: %v", table.known.counters.keys)
		}
	}
}

// TestAttachOfACountedPort attaches a port that another process had installed
// before the table was verified, as setup may do between two steps of the agent.
// Changes of others after that must not go unnoticed.
func TestAttachOfACountedPort(t *testing.T) {
	inNamespace(t)
	table, both := open(t, Options{}), portList(2)
	install(t, open(t, Options{}), both)
	read(t, table)
	verifyNothing(t, table, both[:1])
	if err := table.Attach(both[1:]); !errors.Is(err, accounting.ErrChanged) {
		t.Errorf("Attach of a counted port: got %v, want ErrChanged", err)
	}
	install(t, table, both)
	expectVerified(t, table, both, "Install of a counted port")
	nftCommand(t, "flush chain inet ssmonitor input")
	read(t, table)
	if findings := verify(t, table, both); len(findings) != 1 {
		t.Errorf("after a flush by others: got %q, want one finding", findings)
	}
}

// TestReadBesideWhoAddsManyPorts has setup add the ports that an agent is about to add. A
// dump of so many counters takes many seconds, and the table may not have all of them yet.
func TestReadBesideWhoAddsManyPorts(t *testing.T) {
	inNamespace(t)
	ports := portList(100)
	table := open(t, Options{})
	install(t, table, ports[:1])
	verifyNothing(t, table, ports[:1])
	install(t, open(t, Options{}), ports[:50])
	if err := table.Attach(ports[1:]); !errors.Is(err, accounting.ErrChanged) {
		t.Fatalf("got %v, want %v", err, accounting.ErrChanged)
	}
	table.reader.dumpLimit, table.reader.guessLimit = 300, 350
	expectWay := func(want readingWay) {
		t.Helper()
		if got := len(read(t, table)); got != 4*50 || table.reader.way != want {
			t.Errorf("got %d counters by way %d, want %d by %d", got, table.reader.way, 4*50, want)
		}
	}
	expectWay(everyKey)
	expectWay(oneDump)
}
