package accounting

import (
	"errors"
	"testing"
)

// TestRefreshSavedNeverGoesBack cuts the power after every report: a fresh kernel
// table and the saved totals are all that is left.
func TestRefreshSavedNeverGoesBack(t *testing.T) {
	b := newBench(t, aliceOnly)
	var published, sent uint64
	for round := range uint64(20) {
		b.traffic(t, aliceIn, 10+round)
		sent += 10 + round
		report, err := b.RefreshSaved()
		if err != nil {
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

func TestRefreshSavedWithoutARoomyDisk(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.traffic(t, aliceIn, 10)
	b.disk.fault = diskFull
	if report, err := b.RefreshSaved(); err == nil || report != nil || b.Saved() {
		t.Fatalf("on a full disk: got %+v, %v, want an error", report, err)
	}
	if _, err := b.Refresh(); err != nil {
		t.Errorf("others still get totals, but: %v", err)
	}
	b.disk.fault = diskGood
	report, err := b.RefreshSaved()
	if err != nil {
		t.Fatal(err)
	}
	if flow, _ := inOf(t, report, 20000); flow.Total.Packets != 10 || b.saved(aliceIn).Packets != 10 || !b.Saved() {
		t.Errorf("got %+v, saved %+v, want 10 packets", flow, b.saved(aliceIn))
	}
	b.journal = nil
	if _, err := b.RefreshSaved(); err != nil {
		t.Error(err)
	}
	b.expectJournal(t, "read") // what has not changed is not saved again
	b.kernel.table = nil
	if _, err := b.RefreshSaved(); !errors.Is(err, ErrNoTable) {
		t.Errorf("without a table: got %v, want ErrNoTable", err)
	}
}
