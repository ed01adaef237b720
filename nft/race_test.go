package nft

import (
	"errors"
	"slices"
	"testing"

	"ssmonitor/accounting"
)

// damage puts into our table what only a repair of the structure removes.
const damage = "flush chain inet ssmonitor input; add set inet ssmonitor other { type ipv4_addr; }"

// TestInstallKeepsCountersInABusyRuleset has others change their own tables
// before each message of a repair. Meanwhile the kernel refuses every batch, but
// that must not lead to a larger repair.
func TestInstallKeepsCountersInABusyRuleset(t *testing.T) {
	for _, busy := range []struct {
		name     string
		messages int
		repaired bool
	}{
		{"for a moment", 12, true},
		{"for three attempts", 57, true},
		{"all the time", 1000, false},
	} {
		t.Run(busy.name, func(t *testing.T) {
			inNamespace(t)
			table, other := open(t, Options{}), open(t, Options{})
			ports := portList(1)
			install(t, table, ports)
			sendUDP(t, "127.0.0.1:20000", 3, 10)
			before := read(t, table)
			nftCommand(t, "delete element inet ssmonitor ports-out { udp . 20000 }")

			sends := 0
			table.conn.beforeSend = func() {
				if sends++; sends > busy.messages {
					return
				}
				b := newBatch()
				b.table = "other"
				if sends%2 == 1 {
					b.createTable(accounting.Epoch{}, 0)
				} else {
					b.deleteTable()
				}
				if err := other.conn.commit(b); err != nil {
					t.Fatal(err)
				}
			}
			err := table.Install(ports)
			table.conn.beforeSend = nil
			if (err == nil) != busy.repaired {
				t.Errorf("installing: got %v, want success: %t", err, busy.repaired)
			}
			expectSameCounters(t, read(t, table), before)
			if findings := verify(t, table, ports); (len(findings) == 0) != busy.repaired {
				t.Errorf("afterwards verifying finds %q", findings)
			}
		})
	}
}

// TestNewTableIsKnownInABusyRuleset has others change their own table once while a
// table is created. Nothing has to be looked at twice for that, at most the batch
// is sent again.
func TestNewTableIsKnownInABusyRuleset(t *testing.T) {
	const messages, again = 4, 2 // a look; the table and the batch, perhaps again; the new table
	ports := portList(1)
	for step := range messages {
		inNamespace(t)
		table := open(t, Options{})
		sends := 0
		beforeMessage(table, step, &sends, func() { nftCommand(t, "add table inet other") })
		install(t, table, ports)
		table.conn.beforeSend = nil
		if sends > messages+again {
			t.Errorf("a change before message %d: the table took %d messages", step, sends)
		}
		if step < messages-1 { // before the table was looked up that was created
			expectVerified(t, table, ports, "a change before the table was created")
		}
		expectCounting(t, ports)
		verifyNothing(t, table, ports)
	}
}

// TestInstallKeepsCountersAfterLostRaces has others remove, twice in a row, what a
// repair is about to remove. The refusals must not lead to a larger repair.
func TestInstallKeepsCountersAfterLostRaces(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(1)
	install(t, table, ports)
	sendUDP(t, "127.0.0.1:20000", 3, 10)
	before := read(t, table)

	look, sends := 0, 0
	table.conn.beforeSend = func() { look++ }
	if _, err := table.inspect(); err != nil {
		t.Fatal(err)
	}
	nftCommand(t, damage)
	// An attempt is a look, then the table, the batch and, after a refusal, the
	// generation.
	table.conn.beforeSend = func() {
		attempt, message := sends/(look+3), sends%(look+3)
		switch {
		case attempt < 2 && message == look:
			nftCommand(t, "delete set inet ssmonitor other")
		case 0 < attempt && attempt <= 2 && message == 0:
			nftCommand(t, "add set inet ssmonitor other { type ipv4_addr; }")
		}
		sends++
	}
	install(t, table, ports)
	table.conn.beforeSend = nil
	if sends <= 2*(look+3) {
		t.Fatalf("the repair took %d messages, want more than two attempts", sends)
	}
	expectSameCounters(t, read(t, table), before)
	verifyNothing(t, table, ports)
}

func expectSameCounters(t *testing.T, got, want map[accounting.Key]accounting.Reading) {
	t.Helper()
	for key, reading := range want {
		if got[key] != reading {
			t.Errorf("%s: got %+v, want %+v", key, got[key], reading)
		}
	}
}

// TestCompletedReadingOfASwappedTable replaces the table before each message of
// a reading whose dump lacks a counter. Only the new table has that counter, so
// that a mixture shows.
func TestCompletedReadingOfASwappedTable(t *testing.T) {
	inNamespace(t)
	small, large := portList(1), portList(2)
	for step, sends := 0, 1; sends > step; step++ {
		table, other := open(t, Options{}), open(t, Options{})
		if err := other.Remove(); err != nil && !errors.Is(err, accounting.ErrNoTable) {
			t.Fatal(err)
		}
		install(t, table, small)
		read(t, table)
		old := table.known.table.epoch
		table.known.counters.add(large.Keys()...)

		beforeMessage(table, step, &sends, func() {
			if err := other.Remove(); err != nil {
				t.Fatal(err)
			}
			install(t, other, large)
		})
		var sample accounting.Sample
		if err := table.Read(&sample); err != nil {
			t.Fatal(err)
		}
		table.conn.beforeSend = nil
		want := large.Keys()
		if sample.Epoch == old {
			want = small.Keys()
		}
		var got []accounting.Key
		for _, reading := range sample.Readings {
			got = append(got, reading.Key)
		}
		slices.SortFunc(got, accounting.Key.Compare)
		if !slices.Equal(got, want) {
			t.Errorf("replaced before message %d, the old table: %t: got %v, want %v", step, sample.Epoch == old, got, want)
		}
	}
}

// TestSingleRequestsMissNoNewCounter has another process add a port when there
// are too many counters for a dump.
func TestSingleRequestsMissNoNewCounter(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	inNamespace(t)
	table, other := open(t, Options{}), open(t, Options{})
	ports := portList(dumpLimit/4 + 1)
	install(t, table, ports)
	read(t, table)
	ports = portList(len(ports) + 1)
	install(t, other, ports)
	if got := len(read(t, table)); got != 4*len(ports) {
		t.Errorf("got %d counters, want %d", got, 4*len(ports))
	}
}
