package accounting

import (
	"slices"
	"testing"
)

// TestLedgerContinuesWhenATableReturns reads tables in turn, within one process
// and by another agent for each reading.
func TestLedgerContinuesWhenATableReturns(t *testing.T) {
	third := Epoch{3}
	tests := []struct {
		name    string
		samples []*Sample
		want    uint64 // packets of alice
		resets  []Reset
	}{
		{"it has not moved", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 5)), sample(oldTable, reading(alice, 7)),
		}, 12, nil},
		{"it has counted meanwhile", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 5)), sample(oldTable, reading(alice, 9)),
			sample(nextTable, reading(alice, 6)),
		}, 15, nil},
		{"it stood at 0", []*Sample{
			sample(oldTable, reading(alice, 0)), sample(nextTable, reading(alice, 5)), sample(oldTable, reading(alice, 2)),
		}, 7, nil},
		{"the last of three", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 5)), sample(third, reading(alice, 1)),
			sample(oldTable, reading(alice, 8)), sample(third, reading(alice, 1)), sample(nextTable, reading(alice, 5)),
		}, 14, nil},
		{"it was reset meanwhile", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 5)), sample(oldTable, reading(alice, 3)),
		}, 15, []Reset{{alice, count(7), count(3)}}},
		{"the port was removed and added meanwhile", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 5)),
			sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(9)}),
		}, 21, nil},
		{"the port was removed and added before", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(9)}),
			sample(nextTable, reading(alice, 5)), sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(10)}),
		}, 22, nil},
		{"the other table lacks the port", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(bob, 5)), sample(oldTable, reading(alice, 8)),
		}, 8, nil},
		{"the port is only in the other table at first", []*Sample{
			sample(oldTable, reading(bob, 7)), sample(nextTable, reading(alice, 5)), sample(oldTable, reading(alice, 8)),
			sample(nextTable, reading(alice, 6)),
		}, 14, nil},
		{"its counter was loaded", []*Sample{
			sample(oldTable, Reading{Key: alice, Handle: 1, Count: count(5), Loaded: true}), sample(nextTable, reading(alice, 5)),
			sample(oldTable, Reading{Key: alice, Handle: 1, Count: count(8), Loaded: true}),
		}, 8, nil},
		{"its counter was loaded meanwhile", []*Sample{
			sample(oldTable, reading(alice, 7)), sample(nextTable, reading(alice, 5)),
			sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(8), Loaded: true}),
			sample(oldTable, Reading{Key: alice, Handle: 2, Count: count(9), Loaded: true}),
		}, 13, nil},
	}
	for _, restarts := range []bool{false, true} {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				ledger := NewLedger(State{})
				saved := newDisk()
				var resets []Reset
				for _, sample := range test.samples {
					if restarts {
						ledger = NewLedger(saved.state())
					}
					resets = append(resets, ledger.Add(sample).Resets...)
					_ = saved.Save(ledger.Changes())
					ledger.MarkSaved()
				}
				if total, _ := ledger.Total(alice); total != count(test.want) {
					t.Errorf("restarts: %t: got total %v, want %v", restarts, total, count(test.want))
				}
				if !slices.Equal(resets, test.resets) {
					t.Errorf("restarts: %t: got resets %v, want %v", restarts, resets, test.resets)
				}
			})
		}
	}
}

// TestLedgerReturnsFormersUntilTheyAreSaved leaves a table between two saves.
func TestLedgerReturnsFormersUntilTheyAreSaved(t *testing.T) {
	ledger := NewLedger(State{})
	ledger.Add(sample(oldTable, reading(alice, 7)))
	ledger.MarkSaved()
	ledger.Add(sample(oldTable, reading(alice, 8))) // not saved yet
	ledger.Add(sample(nextTable, reading(alice, 5)))
	want := []Former{{Key: alice, Last: count(8), Epoch: oldTable, Handle: 1}}
	for range 2 {
		if got := ledger.Changes().Formers; !slices.Equal(got, want) {
			t.Errorf("got formers %v, want %v", got, want)
		}
	}
	ledger.MarkSaved()
	ledger.Add(sample(nextTable, reading(alice, 6)))
	if got := ledger.Changes().Formers; len(got) > 0 {
		t.Errorf("after a save: got formers %v, want none", got)
	}
}

// TestFormersAreBounded leaves more tables than are remembered.
func TestFormersAreBounded(t *testing.T) {
	var formers Formers
	var epochs Epochs
	for n := range byte(5) {
		for _, key := range []Key{alice, bob} {
			formers.Set(key, epochs.Number(Epoch{n}), uint64(n), count(1))
		}
	}
	formers.Set(alice, epochs.Number(Epoch{1}), 1, count(1)) // it returned and was left again
	formers.Trim(4)
	var got []byte
	for _, former := range formers.All(&epochs) {
		got = append(got, former.Epoch[0])
	}
	if want := []byte{4, 4, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("got counters of the tables %v, want %v", got, want)
	}
	formers.Trim(1)
	if left := len(formers.All(&epochs)); left != 2 {
		t.Errorf("got %d counters of the table that was left last, want 2", left)
	}
}

// TestLedgerAddDoesNotAllocateAfterATableReturned reads a table that returned.
func TestLedgerAddDoesNotAllocateAfterATableReturned(t *testing.T) {
	ledger := NewLedger(State{})
	for _, table := range []Epoch{oldTable, nextTable, oldTable} {
		ledger.Add(sample(table, reading(alice, 7), reading(bob, 7)))
	}
	s := sample(oldTable, reading(alice, 7), reading(bob, 7))
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
