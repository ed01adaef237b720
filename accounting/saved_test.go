package accounting

import (
	"errors"
	"testing"
)

// TestSavedReportsNeverGoBack cuts the power after every report: a fresh kernel table and
// the saved totals are all that is left.
func TestSavedReportsNeverGoBack(t *testing.T) {
	b := newBench(t, aliceOnly)
	var published, sent uint64
	for round := range uint64(20) {
		b.traffic(t, aliceIn, 10+round)
		sent += 10 + round
		report, err := b.refresh()
		if err = errors.Join(err, b.Save()); err != nil {
			t.Fatal(err)
		}
		flow, _ := inOf(t, report, 20000)
		if flow.Total.Packets != sent || flow.Total.Packets < published {
			t.Fatalf("round %d: got a total of %d after %d, want %d", round, flow.Total.Packets, published, sent)
		}
		published = flow.Total.Packets
		b.traffic(t, aliceIn, 3) // lost with the power
		b.kernel.table = nil
		b.restart()
		b.setPorts(t, aliceOnly)
	}
}

// TestSaveSavesChanges has a disk that is full at first.
func TestSaveSavesChanges(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.traffic(t, aliceIn, 10)
	b.disk.fault = diskFull
	if err := b.Read(); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(); !errors.Is(err, errDisk) || !b.Dirty() {
		t.Fatalf("on a full disk: got %v, and unsaved changes: %t", err, b.Dirty())
	}
	b.disk.fault = diskGood
	if err := b.Save(); err != nil || b.saved(aliceIn).Packets != 10 || b.Dirty() {
		t.Errorf("got %v, and %+v saved, want 10 packets", err, b.saved(aliceIn))
	}
	b.journal = nil
	if err := b.Save(); err != nil {
		t.Error(err)
	}
	b.expectJournal(t) // what has not changed is not saved again
}
