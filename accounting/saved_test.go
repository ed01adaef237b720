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
	if report, err := b.SavedReport(); report != nil || err != nil {
		t.Errorf("before a save: got %v, %v, want neither", report, err)
	}
	if err := b.Save(); !errors.Is(err, errDisk) {
		t.Errorf("on a full disk: got %v", err)
	}
	if report, err := b.SavedReport(); report != nil || !errors.Is(err, errDisk) {
		t.Errorf("on a full disk: got %v, %v, want no report", report, err)
	}
	b.disk.fault = diskGood
	if err := b.Save(); err != nil || b.saved(aliceIn).Packets != 10 {
		t.Errorf("got %v, and %+v saved, want 10 packets", err, b.saved(aliceIn))
	}
	if report, err := b.SavedReport(); err != nil || report.Total.In.Total.Packets != 10 {
		t.Errorf("got %+v, %v, want what is saved", report, err)
	}
	b.journal = nil
	if err := b.Save(); err != nil {
		t.Error(err)
	}
	b.expectJournal(t) // what has not changed is not saved again
}
