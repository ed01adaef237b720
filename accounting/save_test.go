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

// TestMeterSavesTheFirstTrafficAtOnce saves once per hour otherwise: whoever reads the
// store sees that something is counted. The first traffic that can't be saved is not
// tried at every tick.
func TestMeterSavesTheFirstTrafficAtOnce(t *testing.T) {
	key := aliceOnly.Keys()[0]
	for _, test := range []struct {
		name         string
		fault        diskFault
		saves, wrong uint64 // after the second interval with traffic
	}{
		{"saved", diskGood, 1, 0},
		{"not saved", diskFull, 0, 1},
	} {
		kernel, disk, saves := newKernel(), newDisk(), uint64(0)
		meter := NewMeter(MeterOptions{Table: kernel, Now: kernel.now, Store: disk, SaveInterval: time.Hour, Log: slog.New(slog.DiscardHandler)})
		if err := meter.SetPorts(aliceOnly); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if i == 1 {
				disk.fault, disk.onSave = test.fault, func() { saves++ }
			}
			if i > 1 {
				kernel.table.traffic(key, Count{1, 100})
			}
			kernel.clock = kernel.clock.Add(time.Second)
			if _, err := meter.Tick(); err != nil {
				t.Fatal(err)
			}
		}
		if wrong := meter.Status().SaveFailures; saves != test.saves || wrong != test.wrong {
			t.Errorf("%s: %d saves and %d failures, want %d and %d", test.name, saves, wrong, test.saves, test.wrong)
		}
		if unsaved := meter.Unsaved(); len(unsaved.Gains) == 0 || unsaved.Ports[0].Name != aliceOnly[0].Name || !unsaved.Time.Equal(kernel.clock) {
			t.Errorf("%s: not saved is %+v, want what was read after it", test.name, unsaved)
		}
	}
}
