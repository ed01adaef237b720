package nft

import (
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

func verify(t *testing.T, table *Table, ports accounting.Ports) []string {
	t.Helper()
	findings, err := table.Verify(ports)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

// TestVerifyKnowsForWhichPorts verifies more ports while the ruleset does not
// change.
func TestVerifyKnowsForWhichPorts(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	read(t, table)
	verifyNothing(t, table, portList(1))
	if findings := verify(t, table, portList(2)); len(findings) != 1 || !strings.Contains(findings[0], "tcp-20001-in") {
		t.Errorf("with one more port: got %q, want its missing counters", findings)
	}
	verifyNothing(t, table, portList(1))
	install(t, table, portList(2))
	nftCommand(t, "delete element inet ssmonitor ports-in { udp . 20001 }")
	for i, want := range []int{0, 1} {
		read(t, table)
		if findings := verify(t, table, portList(i+1)); len(findings) != want {
			t.Errorf("of %d ports, the second one detached by others: got %q", i+1, findings)
		}
	}
}

// TestVerifyMissesNoChangeDuringItsLook damages the table before each message of
// a verification in turn. The next one must find what it was too early to find.
func TestVerifyMissesNoChangeDuringItsLook(t *testing.T) {
	inNamespace(t)
	ports := portList(1)
	for step, sends := 0, 1; sends > step; step++ {
		table := open(t, Options{})
		install(t, table, ports)
		read(t, table)
		table.known.verified = false // so that it looks
		beforeMessage(table, step, &sends, func() { nftCommand(t, "flush chain inet ssmonitor input") })
		verify(t, table, ports)
		table.conn.beforeSend = nil
		if sends <= step {
			return // a look has fewer messages
		}
		read(t, table)
		if findings := verify(t, table, ports); len(findings) != 1 {
			t.Errorf("damaged before message %d: got %q, want the lost rule", step, findings)
		}
	}
}

// TestVerifyBelievesTwoLooks hides an element from each message of a verification
// in turn, as an interrupted dump does.
func TestVerifyBelievesTwoLooks(t *testing.T) {
	inNamespace(t)
	const element = `element inet ssmonitor ports-in { tcp . 20000`
	ports := portList(1)
	for step, sends := 0, 2; sends > step+1; step++ {
		table := open(t, Options{})
		install(t, table, ports)
		table.known.verified = false // so that it looks
		sends = 0
		table.conn.beforeSend = func() {
			switch sends {
			case step:
				nftCommand(t, "delete "+element+" }")
			case step + 1:
				nftCommand(t, "add "+element+` : "tcp-20000-in" }`)
			}
			sends++
		}
		findings := verify(t, table, ports)
		table.conn.beforeSend = nil
		if sends > step+1 && len(findings) > 0 {
			t.Errorf("hidden from message %d: got %q, want nothing", step, findings)
		}
	}
}

// TestVerifyFindsObjectsOfOthers adds an object before each message of a reading
// and a verification in turn. In the same transaction a counter is deleted, so
// that the number of objects stays the same.
func TestVerifyFindsObjectsOfOthers(t *testing.T) {
	inNamespace(t)
	for _, object := range []string{"quota inet ssmonitor other { over 10 mbytes; }", "counter inet ssmonitor other"} {
		for step, sends := 0, 1; sends > step; step++ {
			table := open(t, Options{})
			install(t, table, portList(2))
			read(t, table)
			beforeMessage(table, step, &sends, func() {
				nftCommand(t, "delete element inet ssmonitor ports-in { tcp . 20001 }; delete counter inet ssmonitor tcp-20001-in; add "+object)
			})
			read(t, table)
			findings := verify(t, table, portList(1))
			table.conn.beforeSend = nil
			if len(findings) == 0 {
				read(t, table)
				findings = verify(t, table, portList(1))
			}
			if sends > step && (len(findings) != 1 || findings[0] != `object "other" does not belong here`) {
				t.Errorf("%s, added before message %d: got %q, want the object", object, step, findings)
			}
			install(t, table, portList(2))
		}
	}
}

// TestVerifyDumpsCountersOnlyIfTheyChanged counts the messages of a verification.
func TestVerifyDumpsCountersOnlyIfTheyChanged(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	messages := func() (sent uint32) {
		before := table.conn.Sequence
		verifyNothing(t, table, portList(1))
		return table.conn.Sequence - before
	}
	const (
		lookup     = 2              // the table and its generation
		inspection = lookup + 7     // the sets, the elements of two maps, the chains, the rules of two, and the flowtables
		listing    = inspection + 1 // the counters as well
	)
	nftCommand(t, "add table inet other")
	read(t, table)
	if got := messages(); got != inspection {
		t.Errorf("after a change and a reading: got %d messages, want %d", got, inspection)
	}
	read(t, table)
	if got := messages(); got != 0 {
		t.Errorf("after a reading: got %d messages, want none", got)
	}
	if got := messages(); got != lookup {
		t.Errorf("without another reading: got %d messages, want %d", got, lookup)
	}
	read(t, table)
	if err := table.Attach(portList(3)[2:]); err != nil {
		t.Fatal(err)
	}
	if got := messages(); got != lookup {
		t.Errorf("after a change of ours since the reading: got %d messages, want %d", got, lookup)
	}
	nftCommand(t, "delete table inet other")
	if got := messages(); got != lookup+listing {
		t.Errorf("after a change since the reading: got %d messages, want %d", got, lookup+listing)
	}
}

func TestSameExpressions(t *testing.T) {
	rule := HookHost.layout(accounting.Forwarding{}).chains[0].rules[0].expressions()
	encode := func(add func(*encoder)) []byte {
		e := &encoder{}
		add(e)
		return e.buffer
	}
	counter := encode(func(e *encoder) { e.expression("counter", func() {}) })
	first := len(rule) - len(withoutFirst(rule))
	tests := []struct {
		name       string
		have, want []byte
		same       bool
	}{
		{"the rule itself", rule, rule, true},
		{"one more at the end", slices.Concat(rule, counter), rule, false},
		{"one more at the beginning", slices.Concat(counter, rule), rule, false},
		{"one less at the beginning", rule[first:], rule, false},
		{"one less at the end", rule, slices.Concat(rule, counter), false},
		{"none", nil, rule, false},
		{"another order", slices.Concat(rule[first:], rule[:first]), rule, false},
		{"the rule of the other direction", HookHost.layout(accounting.Forwarding{}).chains[1].rules[0].expressions(), rule, false},
		{
			"one more attribute",
			encode(func(e *encoder) { e.expression("x", func() { e.be32(1, 1); e.be32(2, 2) }) }),
			encode(func(e *encoder) { e.expression("x", func() { e.be32(1, 1) }) }), true,
		},
		{
			"one less attribute",
			encode(func(e *encoder) { e.expression("x", func() { e.be32(1, 1) }) }),
			encode(func(e *encoder) { e.expression("x", func() { e.be32(1, 1); e.be32(2, 2) }) }), false,
		},
	}
	for _, test := range tests {
		if got := sameExpressions(test.have, test.want); got != test.same {
			t.Errorf("%s: got %t, want %t", test.name, got, test.same)
		}
	}
}

// withoutFirst returns a list of attributes without its first one.
func withoutFirst(list []byte) []byte {
	_, _, rest, _ := netlink.NextAttribute(list)
	return rest
}
