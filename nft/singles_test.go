package nft

import (
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

func TestReadingInSinglesDoesNotAllocate(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(500))
	table.reader.dumpLimit = 1
	var sample accounting.Sample
	allocations := testing.AllocsPerRun(20, func() {
		if err := table.Read(&sample); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 || table.reader.way != knownKeys {
		t.Errorf("got %.1f allocations per reading, single requests: %t; want 0, true", allocations, table.reader.way == knownKeys)
	}
}

// TestEachWayOfReadingReadsTheSame compares a dump, requests of the known counters,
// and requests of all that can exist.
func TestEachWayOfReadingReadsTheSame(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, accounting.Ports{{Number: 1, Protocols: accounting.OnlyTCP}, {Number: 20000, Protocols: accounting.TCPAndUDP}, {Number: 65535, Protocols: accounting.OnlyUDP}})
	nftCommand(t, "add counter inet ssmonitor mine")
	sendUDP(t, "127.0.0.1:20000", 5, 10)
	sendUDP(t, "127.0.0.1:65535", 5, 10)
	want := read(t, table)
	if last := want[accounting.Key{Port: 65535, Protocol: accounting.UDP, Direction: accounting.In}]; len(want) != 8 || last.Count.Packets != 5 {
		t.Fatalf("got %d counters, the last of %+v, want 8 and 5 packets", len(want), last)
	}
	nftCommand(t, "delete counter inet ssmonitor mine")
	table.reader.dumpLimit = 1
	expectSameCounters(t, read(t, table), want)
	if testing.Short() {
		return // 262,144 requests take a while
	}
	fresh := open(t, Options{})
	fresh.reader.guessLimit = 1
	for i, messages := range []uint32{2 + 4<<16 + 2, 1 + 2} {
		before := fresh.conn.Sequence
		got := read(t, fresh)
		if sent := fresh.conn.Sequence - before; sent != messages {
			t.Errorf("reading %d takes %d messages, want %d", i, sent, messages)
		}
		expectSameCounters(t, got, want)
		if len(got) != len(want) {
			t.Errorf("got %d counters, want %d", len(got), len(want))
		}
	}
}

// TestAnotherProcessInstallsWithoutListingTheCounters adds a port to a large table
// that another process has installed, with and without an object of others.
func TestAnotherProcessInstallsWithoutListingTheCounters(t *testing.T) {
	if testing.Short() {
		t.Skip("262,144 requests take a while")
	}
	inNamespace(t)
	ports := portList(100)
	install(t, open(t, Options{}), ports[:99])
	for _, foreign := range []bool{false, true} {
		if foreign {
			nftCommand(t, "add quota inet ssmonitor mine over 1 mbytes")
		}
		other := open(t, Options{})
		other.reader.guessLimit = 1
		install(t, other, ports)
		if got := other.known.counters.len(); got < 4*99 {
			t.Errorf("with a foreign object: %t: the reader knows %d counters, want those that were read", foreign, got)
		}
		verifyNothing(t, open(t, Options{}), ports)
	}
}

// TestSinglesMissNoChangeOfOthers adds or removes a port before each message of a
// reading in turn.
func TestSinglesMissNoChangeOfOthers(t *testing.T) {
	ports := portList(100) // two sends
	for _, test := range []struct {
		name   string
		change func(other *Table) error
		after  int // number of counters
	}{
		{"added", func(other *Table) error { return other.Install(portList(101)) }, 404},
		{"removed", func(other *Table) error {
			if err := other.Detach(ports[50:51].Keys()); err != nil {
				return err
			}
			return other.Delete(ports[50:51].Keys())
		}, 396},
		{"one added, one removed", func(other *Table) error {
			b, added := newBatch(), portList(101)[100:].Keys()
			b.createCounters(added)
			b.createElements(added)
			for _, key := range ports[50:51].Keys() {
				id := newElementKey(key)
				b.deleteElement(portMap(key.Direction), id[:], false)
				b.deleteObject(key.String(), unix.NFT_OBJECT_COUNTER)
			}
			return other.conn.commit(b)
		}, 400},
		{"replaced", func(other *Table) error {
			if err := other.Remove(); err != nil {
				return err
			}
			return other.Install(portList(90))
		}, 360},
	} {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t)
			for step, sends := 0, 1; sends > step; step++ {
				table, other := open(t, Options{}), open(t, Options{})
				table.reader.dumpLimit = 1
				install(t, table, ports)
				truth := read(t, table)
				beforeMessage(table, step, &sends, func() {
					if err := test.change(other); err != nil {
						t.Fatal(err)
					}
				})
				got := len(read(t, table))
				table.conn.beforeSend = nil
				if sends <= step {
					return
				}
				if got != len(truth) && got != test.after {
					t.Errorf("before message %d: got %d counters, want %d or %d", step, got, len(truth), test.after)
				}
				if got := len(read(t, table)); got != test.after {
					t.Errorf("after the change before message %d: got %d counters, want %d", step, got, test.after)
				}
				if err := other.Remove(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
