package nft

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

var (
	udpIn20000 = accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.In}
	udpIn20001 = accounting.Key{Port: 20001, Protocol: accounting.UDP, Direction: accounting.In}
)

// structure returns the lines of chains, and of maps unless only chains are kept, with
// their handles.
func structure(t *testing.T, keeps string) string {
	t.Helper()
	output, err := exec.Command("nft", "--handle", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, output)
	}
	kept := regexp.MustCompile(`(?m)^\t(`+keeps+`) \S+ \{ # handle \d+$`).FindAllString(string(output), -1)
	if len(kept) < 2 && keeps != nothingKept {
		t.Fatalf("the listing has %q, want maps and chains:\n%s", kept, output)
	}
	return strings.Join(kept, "\n")
}

// What stays the same object when a table is repaired: a packet that passes while a chain
// is replaced could miss both the old and the new one.
const (
	allKept     = "map|chain"
	chainsKept  = "chain"
	nothingKept = "none"
)

// TestDriftIsFoundAndRepaired does to our table everything that an administrator can do
// with nft.
func TestDriftIsFoundAndRepaired(t *testing.T) {
	for _, test := range []struct{ name, script, finding, keeps string }{
		{"dormant", "add table inet ssmonitor { flags dormant; }", "the table is dormant", allKept},
		{"dormant and more", "add table inet ssmonitor { flags dormant; }\nflush chain inet ssmonitor input", "", nothingKept},
		{"catch-all element", `add element inet ssmonitor ports-in { * : "tcp-20000-in" }`, "leads every other port to counter", allKept},
		{"element of another protocol", `add element inet ssmonitor ports-in { sctp . 20000 : "tcp-20000-in" }`, "leads the key 84", allKept},
		{"element to the wrong protocol", `delete element inet ssmonitor ports-in { udp . 20000 }; add element inet ssmonitor ports-in { udp . 20000 : "tcp-20000-in" }`, `leads udp port 20000 to counter "tcp-20000-in"`, allKept},
		{"element to the other direction", `delete element inet ssmonitor ports-in { udp . 20000 }; add element inet ssmonitor ports-in { udp . 20000 : "udp-20000-out" }`, "", nothingKept},
		{"element to a foreign counter", `add counter inet ssmonitor other; add element inet ssmonitor ports-in { tcp . 443 : "other" }`, "", nothingKept},
		{"map of another size", "flush chain inet ssmonitor input; delete map inet ssmonitor ports-in; " +
			`add map inet ssmonitor ports-in { type inet_proto . inet_service : counter; size 10; }`, "map ports-in is of another kind", chainsKept},
		{"map of another size behind our rule", `flush chain inet ssmonitor input; delete map inet ssmonitor ports-in
			add map inet ssmonitor ports-in { type inet_proto . inet_service : counter; size 10; }
			add element inet ssmonitor ports-in { tcp . 20000 : "tcp-20000-in", udp . 20000 : "udp-20000-in", tcp . 20001 : "tcp-20001-in", udp . 20001 : "udp-20001-in" }
			add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in accept`, "map ports-in is of another kind", chainsKept},
		{"map of another kind", "flush chain inet ssmonitor input; delete map inet ssmonitor ports-in; " +
			`add map inet ssmonitor ports-in { type inet_service : counter; }`, "map ports-in is of another kind", chainsKept},
		{"jump rules and verdict map", "add chain inet ssmonitor a; add chain inet ssmonitor b; add rule inet ssmonitor a jump b; insert rule inet ssmonitor input jump a; " +
			"add map inet ssmonitor verdicts { type inet_service : verdict; }; add element inet ssmonitor verdicts { 53 : jump b }; add rule inet ssmonitor a udp dport vmap @verdicts", "", chainsKept},
		{"anonymous chain", "insert rule inet ssmonitor input jump { udp dport 53 drop; }", "", nothingKept},
		{"anonymous set", "insert rule inet ssmonitor input udp dport { 53, 54 } drop", "", nothingKept},
		{"quota and limit", "add quota inet ssmonitor q { over 10 mbytes; }; add limit inet ssmonitor l { rate 10/second; }; add rule inet ssmonitor input quota name q", "", nothingKept},
		{"quota beside an anonymous set", "insert rule inet ssmonitor input udp dport { 53, 54 } drop; add quota inet ssmonitor q { over 10 mbytes; }", "", nothingKept},
		{"quota beside an anonymous chain", "insert rule inet ssmonitor input jump { udp dport 53 drop; }; add quota inet ssmonitor q { over 10 mbytes; }", "", nothingKept},
		{"map to quotas", "add quota inet ssmonitor q { over 10 mbytes; }; add map inet ssmonitor quotas { type inet_service : quota; }; add element inet ssmonitor quotas { 53 : \"q\" }", "", nothingKept},
		{"foreign counter", "add counter inet ssmonitor mine", `object "mine" does not belong here`, allKept},
		{"renamed chain", "rename chain inet ssmonitor input i", "", nothingKept},
		{"second copy at another priority", `add chain inet ssmonitor again { type filter hook input priority 50; }; add rule inet ssmonitor again counter name meta l4proto . th dport map @ports-in accept`, `chain "again" does not belong`, allKept},
		{"chain of the other hook", `add chain inet ssmonitor prerouting { type filter hook prerouting priority -110; }; add rule inet ssmonitor prerouting counter name meta l4proto . th dport map @ports-in accept`, "", nothingKept},
		{"nat chain", "add chain inet ssmonitor n { type nat hook prerouting priority -100; }; add rule inet ssmonitor n udp dport 53 redirect to :54", "", nothingKept},
		{"doubled counting in the rule", `flush chain inet ssmonitor input; add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in counter accept`, "", nothingKept},
		{"rule without its verdict", `flush chain inet ssmonitor input; add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in`, "", nothingKept},
		{"rule with another condition", `flush chain inet ssmonitor input; add rule inet ssmonitor input ip ttl 1 counter name meta l4proto . th dport map @ports-in accept`, "the rules of chain input are not ours", allKept},
		{"without the rule for VRFs", `flush chain inet ssmonitor output; add rule inet ssmonitor output counter name meta l4proto . th sport map @ports-out accept`, "", nothingKept},
		{"rule for other devices than VRFs", `flush chain inet ssmonitor output; add rule inet ssmonitor output meta oifkind "veth" accept; add rule inet ssmonitor output counter name meta l4proto . th sport map @ports-out accept`, "", nothingKept},
		{"chain at another hook", `delete chain inet ssmonitor input; add chain inet ssmonitor input { type filter hook forward priority 40; policy accept; }; add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in accept`, "chain input has another", nothingKept},
		{"chain of another type", `delete chain inet ssmonitor output; add chain inet ssmonitor output { type route hook output priority 40; policy accept; }; add rule inet ssmonitor output meta oifkind "vrf" accept; add rule inet ssmonitor output counter name meta l4proto . th sport map @ports-out accept`, "", nothingKept},
		{"rule added at the end", "add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in", "chain input has 1 rule more than ours", allKept},
		{"rule added at the beginning", "insert rule inet ssmonitor output udp dport 53 drop", "chain output has 1 rule more than ours", allKept},
		{"rule of the other direction", "flush chain inet ssmonitor input; add rule inet ssmonitor input counter name meta l4proto . th sport map @ports-in", "the rules of chain input are not ours", allKept},
		{"rule that only accepts", "flush chain inet ssmonitor input; add rule inet ssmonitor input accept", "the rules of chain input are not ours", allKept},
		{"jump to a chain of others", "add chain inet ssmonitor a; insert rule inet ssmonitor input jump a", `chain "a" does not belong here`, allKept},
		{"chain at another priority", "delete chain inet ssmonitor input; add chain inet ssmonitor input { type filter hook input priority 5; }; add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in", "chain input has another", nothingKept},
		{"chain of another policy", "add chain inet ssmonitor output { policy drop; }", "chain output has another", nothingKept},
		{"element to the wrong port", `delete element inet ssmonitor ports-in { udp . 20000 }; add element inet ssmonitor ports-in { udp . 20000 : "udp-20001-in" }`, `leads udp port 20000 to counter "udp-20001-in"`, allKept},
		{"element of a port that is not counted", `add element inet ssmonitor ports-in { tcp . 443 : "tcp-20001-in" }`, `leads tcp port 443 to counter "tcp-20001-in"`, allKept},
		{"set of others", "add set inet ssmonitor other { type ipv4_addr; }", `set "other" does not belong`, allKept},
		{"lost element", "delete element inet ssmonitor ports-in { tcp . 20001 }", "not counting: counter tcp-20001-in", allKept},
		{"lost counter", "delete element inet ssmonitor ports-out { udp . 20001 }; delete counter inet ssmonitor udp-20001-out", "missing: counter udp-20001-out", allKept},
		{"lost rule", "flush chain inet ssmonitor input", "chain input has lost 1 rule", allKept},
		{"lost rules", "flush table inet ssmonitor", "chain output has lost 2 rules", allKept},
		{"lost chain", "delete chain inet ssmonitor output", "chain output is missing", nothingKept},
		{"lost map", "flush chain inet ssmonitor input; delete map inet ssmonitor ports-in", "map ports-in is missing", chainsKept},
		{"lost everything but counters", "flush table inet ssmonitor; delete chain inet ssmonitor input; delete chain inet ssmonitor output; delete map inet ssmonitor ports-in; delete map inet ssmonitor ports-out", "chain input is missing", nothingKept},
	} {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t)
			table := open(t, Options{})
			ports := portList(2)
			install(t, table, ports)
			sendUDP(t, "127.0.0.1:20000", 3, 10)
			before := read(t, table)
			want, wantStructure := nftCommand(t, "list ruleset"), structure(t, test.keeps)
			nftCommand(t, test.script)

			findings := verify(t, open(t, Options{}), ports)
			if len(findings) == 0 || !strings.Contains(strings.Join(findings, "; "), test.finding) {
				t.Fatalf("Verify: got %q, want %q", findings, test.finding)
			}
			read(t, table) // so that the repair need not list the counters
			if got := verify(t, table, ports); !slices.Equal(got, findings) {
				t.Errorf("Verify by who has installed the table: got %q, want %q", got, findings)
			}
			install(t, table, ports)
			if got := nftCommand(t, "list ruleset"); sorted(got) != sorted(want) {
				t.Errorf("after %q: got\n%s\nwant\n%s", findings, got, want)
			}
			if got := structure(t, test.keeps); got != wantStructure {
				t.Errorf("got\n%s\nwant the same objects\n%s", got, wantStructure)
			}
			after := read(t, table)
			for key, reading := range before {
				lost := strings.Contains(test.script, "delete counter inet ssmonitor "+key.String())
				if !lost && (after[key].Handle != reading.Handle || after[key].Count.Packets < reading.Count.Packets) {
					t.Errorf("%s: got %+v, want the counter %+v", key, after[key], reading)
				}
			}
			verifyNothing(t, table, ports)
			sendUDP(t, "127.0.0.1:20000", 3, 10)
			if counts := read(t, table)[udpIn20000]; counts.Count.Packets <= after[udpIn20000].Count.Packets {
				t.Errorf("after the repair %s does not count: %+v", udpIn20000, counts)
			}
		})
	}
}

// TestInstallKeepsElementsOfOthers repairs the structure while another process
// has attached a port that this one does not know.
func TestInstallKeepsElementsOfOthers(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	nftCommand(t, "flush chain inet ssmonitor input")
	install(t, table, portList(1))
	before := read(t, table)[udpIn20001]
	sendUDP(t, "127.0.0.1:20001", 3, 10)
	if after := read(t, table)[udpIn20001]; after.Count == before.Count {
		t.Errorf("%s does not count after the structure was repaired: %+v", udpIn20001, after)
	}
}

// TestSavedRulesetOnTop loads a listing of the table without flushing the table
// first.
func TestSavedRulesetOnTop(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(2)
	install(t, table, ports)
	sendUDP(t, "127.0.0.1:20000", 5, 100)
	sendUDP(t, "127.0.0.1:20001", 5, 100)
	saved := nftCommand(t, "list ruleset")
	before := read(t, table)
	for key, reading := range before {
		if reading.Loaded {
			t.Errorf("%s: got Loaded, want a counter that we created", key)
		}
	}
	removed := portList(1).Keys()
	if err := errors.Join(table.Detach(removed), table.Delete(removed)); err != nil {
		t.Fatal(err)
	}
	nftCommand(t, saved)
	nftCommand(t, saved)

	after := read(t, table)
	for key, reading := range after {
		wasDeleted := slices.Contains(removed, key)
		if reading.Loaded != wasDeleted || reading.Count != before[key].Count {
			t.Errorf("%s: got %+v, want Loaded %t and the count of %+v", key, reading, wasDeleted, before[key])
		}
	}
	// Each chain has three rules, and each packet is counted once.
	const sent = 100
	sendUDP(t, "127.0.0.1:20001", sent, 100)
	if gained := read(t, table)[udpIn20001].Count.Packets - after[udpIn20001].Count.Packets; gained > sent || gained < sent/2 {
		t.Errorf("got %d packets, want the %d that were sent", gained, sent)
	}
}

// TestReadingOfASwappedTable replaces the table before each message of a
// reading in turn. The reading must belong to one of the two tables as a whole.
func TestReadingOfASwappedTable(t *testing.T) {
	for step := range 6 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			inNamespace(t)
			table, other := open(t, Options{}), open(t, Options{})
			ports := portList(400) // several datagrams
			install(t, table, ports)
			sendUDP(t, "127.0.0.1:20000", 5, 10)
			read(t, table)
			old := table.known.table.epoch

			sends := 0
			beforeMessage(table, step, &sends, func() {
				if err := other.Remove(); err != nil {
					t.Fatal(err)
				}
				install(t, other, ports)
			})
			var sample accounting.Sample
			if err := table.Read(&sample); err != nil {
				t.Fatal(err)
			}
			table.conn.beforeSend = nil
			if sends <= step {
				return // a reading has fewer messages
			}
			var reference accounting.Sample
			if err := other.Read(&reference); err != nil {
				t.Fatal(err)
			}
			for _, reading := range sample.Readings {
				fresh := sample.Epoch == reference.Epoch
				if fresh && reading.Key == udpIn20000 && reading.Count.Packets != 0 {
					t.Errorf("%s of the new table: got the old one's %+v", reading.Key, reading)
				}
				if !fresh && reading.Key == udpIn20000 && reading.Count.Packets == 0 {
					t.Errorf("%s of the old table: got the new one's %+v", reading.Key, reading)
				}
			}
			if len(sample.Readings) != 4*len(ports) {
				t.Errorf("got %d counters, want %d", len(sample.Readings), 4*len(ports))
			}
			if sample.Epoch != old && sample.Epoch != reference.Epoch {
				t.Errorf("got epoch %x, want that of one of the tables", sample.Epoch)
			}
		})
	}
}

// TestManyCommitsHideNoDrift makes as many changes as the 16-bit generation in
// the messages' header can count.
func TestManyCommitsHideNoDrift(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	inNamespace(t)
	table, other := open(t, Options{}), open(t, Options{})
	ports := portList(1)
	install(t, table, ports)
	read(t, table)
	verifyNothing(t, table, ports)
	nftCommand(t, "flush chain inet ssmonitor input") // the first commit
	for i := 1; i < 1<<16; i++ {
		b := newBatch()
		b.table = "other"
		if i%2 == 1 {
			b.createTable(accounting.Epoch{}, 0)
		} else {
			b.deleteTable()
		}
		if err := other.conn.commit(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Attach(portList(2)); !errors.Is(err, accounting.ErrChanged) {
		t.Errorf("Attach after 65,536 commits: got %v, want ErrChanged", err)
	}
	read(t, table)
	if findings, err := table.Verify(ports); err != nil || len(findings) != 1 {
		t.Errorf("Verify after 65,536 commits: got %q, %v", findings, err)
	}
}

// TestForeignTableIsNotRemovedInARace replaces our table by a foreign one just
// before each message of Remove, Install and Stop in turn.
func TestForeignTableIsNotRemovedInARace(t *testing.T) {
	for _, operation := range []string{"remove", "install", "stop"} {
		reached := true
		for step := 0; reached; step++ {
			t.Run(fmt.Sprintf("%s %d", operation, step), func(t *testing.T) {
				inNamespace(t)
				table := open(t, Options{})
				install(t, table, portList(1))
				nftCommand(t, "flush chain inet ssmonitor input")
				sends, swapped := 0, false
				table.conn.beforeSend = func() {
					if sends == step {
						nftCommand(t, "delete table inet ssmonitor; add table inet ssmonitor { comment \"somebody's\"; }; add chain inet ssmonitor theirs")
						swapped = true
					}
					sends++
				}
				var err error
				switch operation {
				case "remove":
					err = table.Remove()
				case "install":
					err = table.Install(portList(1))
				case "stop":
					err = table.Stop()
				}
				if reached = swapped; !reached { // the operation has fewer messages
					if err != nil || step < 2 {
						t.Errorf("after %d messages: %v", step, err)
					}
					return
				}
				if !errors.Is(err, ErrForeignTable) {
					t.Errorf("got %v, want ErrForeignTable", err)
				}
				if got := nftCommand(t, "list ruleset"); !strings.Contains(got, "theirs") || strings.Contains(got, "ports-in") {
					t.Errorf("got\n%s\nwant the foreign table as it was", got)
				}
			})
		}
	}
}

// TestDetachingAgainIsLinear detaches ports that have no element any more, as
// after a kill between detaching and deleting.
func TestDetachingAgainIsLinear(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := 10_000
	if testing.Short() {
		ports = 1000
	}
	install(t, table, portList(ports))
	keys := portList(ports).Keys()
	detach := func() time.Duration {
		began := time.Now()
		if err := table.Detach(keys); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	first, second := detach(), detach()
	for range 4 { // the shortest: a busy machine makes any of them longer
		second = min(second, detach())
	}
	if second > 5*first {
		t.Errorf("detaching %d ports took %s, and %s the second time", ports, first, second)
	}
	// Half of them are attached again.
	install(t, table, portList(ports/2))
	if err := table.Detach(keys); err != nil {
		t.Fatal(err)
	}
	if err := table.Delete(keys); err != nil {
		t.Fatal(err)
	}
	if err := table.Delete(keys); err != nil {
		t.Fatal(err)
	}
	if left := len(read(t, table)); left != 0 {
		t.Errorf("got %d counters, want none", left)
	}
}

// TestDeleteKeepsAttachedCounters deletes counters, one of which is still
// attached.
func TestDeleteKeepsAttachedCounters(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	keys := portList(1).Keys()
	if err := table.Detach(keys[:3]); err != nil {
		t.Fatal(err)
	}
	err := table.Delete(keys)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), keys[3].String()) {
		t.Errorf("got %v, want EBUSY of %s", err, keys[3])
	}
	if left := read(t, table); len(left) != 5 {
		t.Errorf("got %d counters, want the attached one and the 4 of the other port", len(left))
	}
}
