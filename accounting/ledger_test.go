package accounting

import (
	"slices"
	"testing"
)

// The tables and counters of the ledger's tests.
var (
	alice     = Key{20000, TCP, In}
	bob       = Key{20001, TCP, Out}
	oldTable  = Epoch{1}
	nextTable = Epoch{2}
)

// count returns a count whose bytes and packets can't be confused.
func count(packets uint64) Count { return Count{Packets: packets, Bytes: 100 * packets} }

// reading returns a reading with handle 1.
func reading(key Key, packets uint64) Reading {
	return Reading{Key: key, Handle: 1, Count: count(packets)}
}

func sample(epoch Epoch, readings ...Reading) *Sample {
	return &Sample{Epoch: epoch, Readings: readings}
}

func TestLedgerAdds(t *testing.T) {
	tests := []struct {
		name    string
		samples []*Sample
		want    uint64 // packets of alice
		resets  []Reset
		tables  int // how often the table changes
	}{
		{"the whole value of a new counter", []*Sample{
			sample(oldTable, reading(alice, 7)),
		}, 7, nil, 1},
		{"what a counter gains", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable, reading(alice, 7)), sample(oldTable, reading(alice, 9)),
		}, 9, nil, 1},
		{"the whole value of a counter that was reset", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable, reading(alice, 3)), sample(oldTable, reading(alice, 4)),
		}, 11, []Reset{{alice, count(7), count(3)}}, 1},
		{"nothing of a counter that was reset and has not moved since", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable, reading(alice, 0)),
		}, 7, []Reset{{alice, count(7), count(0)}}, 1},
		{"the whole value of a port that was removed and added", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(9)}),
		}, 16, nil, 1},
		{"the same value of a port that was removed and added", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(7)}),
		}, 14, nil, 1},
		{"the whole value of the same handle in a new table", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 9)),
		}, 16, nil, 2},
		{"a smaller value in a new table, which is not a reset", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 3)),
		}, 10, nil, 2},
		{"what a counter gained while readings lacked it", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable), sample(oldTable, reading(alice, 8)),
		}, 8, nil, 1},
		{"not the initial value of a loaded counter", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable),
			sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(5), Loaded: true}),
			sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(8), Loaded: true}),
		}, 10, nil, 1},
		{"nothing of other ports", []*Sample{
			sample(oldTable, reading(alice, 7), reading(bob, 100)),
		}, 7, nil, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ledger := NewLedger(State{})
			var resets []Reset
			tables := 0
			for _, sample := range test.samples {
				posting := ledger.Add(sample)
				resets = append(resets, posting.Resets...)
				if posting.NewTable {
					tables++
				}
			}
			if total, read := ledger.Total(alice); total != count(test.want) || !read {
				t.Errorf("got total %v (read: %t), want %v", total, read, count(test.want))
			}
			if !slices.Equal(resets, test.resets) {
				t.Errorf("got resets %v, want %v", resets, test.resets)
			}
			if tables != test.tables {
				t.Errorf("got %d new tables, want %d", tables, test.tables)
			}
		})
	}
}

func TestLedgerReturnsChangesUntilTheyAreSaved(t *testing.T) {
	ledger := NewLedger(State{})
	ledger.Add(sample(oldTable, reading(alice, 7), reading(bob, 4)))
	first := ledger.Changes()
	if len(first.Accounts) != 2 || first.In != count(7) || first.Out != count(4) {
		t.Fatalf("got changes %+v, want both accounts", first)
	}
	want := Account{Key: alice, Total: count(7), Last: count(7), Epoch: oldTable, Handle: 1}
	if first.Accounts[0] != want {
		t.Errorf("got change %+v, want %+v", first.Accounts[0], want)
	}

	// The save failed: Changes returns the same accounts, as they are now.
	ledger.Add(sample(oldTable, reading(alice, 9), reading(bob, 4)))
	second := ledger.Changes()
	if len(second.Accounts) != 2 || second.Accounts[0].Total != count(9) || second.In != count(9) {
		t.Errorf("after a failed save: got changes %+v", second)
	}

	ledger.MarkSaved()
	if rest := ledger.Changes(); len(rest.Accounts) != 0 || rest.In != count(9) || rest.Out != count(4) {
		t.Errorf("after a save: got changes %+v, want no account", rest)
	}
	ledger.Add(sample(oldTable, reading(alice, 9), reading(bob, 6)))
	if rest := ledger.Changes(); len(rest.Accounts) != 1 || rest.Accounts[0].Key != bob {
		t.Errorf("after one counter has moved: got changes %+v, want only %s", rest, bob)
	}
}

func TestLedgerAddDoesNotAllocate(t *testing.T) {
	const ports = 100
	s := sample(oldTable)
	for i := range ports {
		s.Readings = append(s.Readings, reading(Key{uint16(i + 1), UDP, In}, 1))
	}
	ledger := NewLedger(State{})
	ledger.Add(s)
	if allocations := testing.AllocsPerRun(100, func() {
		for i := range s.Readings {
			s.Readings[i].Count = s.Readings[i].Count.Plus(count(1))
		}
		ledger.Add(s)
		ledger.MarkSaved()
	}); allocations != 0 {
		t.Errorf("got %v allocations per sample, want 0", allocations)
	}
}
