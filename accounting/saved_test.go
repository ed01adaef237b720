package accounting

import (
	"errors"
	"testing"
)

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
