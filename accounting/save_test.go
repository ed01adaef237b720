package accounting

import (
	"log/slog"
	"testing"
	"time"
)

// TestMeterWaitsAfterAFailedSave ticks faster than it saves: a disk that is full
// is not tried at every tick.
func TestMeterWaitsAfterAFailedSave(t *testing.T) {
	kernel, disk := newKernel(), newDisk()
	meter := NewMeter(MeterOptions{
		Table: kernel, Now: kernel.now, Store: disk, SaveInterval: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
	})
	tick := func() {
		t.Helper()
		kernel.clock = kernel.clock.Add(time.Second)
		if _, err := meter.Tick(); err != nil {
			t.Fatal(err)
		}
	}
	tick()
	disk.fault = diskFull
	for range 30 {
		tick()
	}
	if got := meter.Status().SaveFailures; got != 3 {
		t.Errorf("in 30 s %d saves failed, want one every 10 s", got)
	}
	disk.fault = diskGood
	for range 10 {
		tick()
	}
	if status := meter.Status(); status.LastSaveError != nil || status.SaveFailures != 3 {
		t.Errorf("10 s after the disk has room: got %+v, want a save", status)
	}
}
