package agent

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/internal/testkit"
)

// slowTable is a table with one counter, whose readings a test can hold up.
type slowTable struct {
	accounting.Table
	reads atomic.Int64
	read  func() error
}

func (s *slowTable) Read(sample *accounting.Sample) error {
	packets := uint64(s.reads.Add(1))
	sample.Epoch = accounting.Epoch{1}
	sample.Readings = append(sample.Readings[:0], accounting.Reading{
		Key: accounting.Key{Port: 20000, Protocol: accounting.TCP}, Count: accounting.Count{Packets: packets},
	})
	return s.read()
}

func (s *slowTable) Attach(accounting.Ports) error { return nil }

// newTestReadings returns readings of a table, by a clock that stands still until it is set.
func newTestReadings(t *testing.T, read func() error) (table *slowTable, r *readings, clock *atomic.Int64) {
	t.Helper()
	table, clock = &slowTable{read: read}, new(atomic.Int64)
	meter := accounting.NewMeter(accounting.MeterOptions{Table: table, Log: newLog(io.Discard)})
	if err := meter.SetPorts(accounting.Ports{{Number: 20000, Protocols: accounting.OnlyTCP}}); err != nil {
		t.Fatal(err)
	}
	r = newReadings(meter, connections.NewMeter(nil, nil, nil), nil, nil, time.Second)
	r.now = func() time.Time { return time.Unix(1e9, clock.Load()) }
	return table, r, clock
}

// TestReadingsReadOnceForAllWhoAsk has fifty clients ask at once, and others later.
func TestReadingsReadOnceForAllWhoAsk(t *testing.T) {
	release := make(chan struct{})
	table, r, clock := newTestReadings(t, func() error { <-release; return nil })
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			if _, err := r.Report(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	testkit.Until(t, "the reading begins", func() bool { return table.reads.Load() > 0 })
	close(release)
	clients.Wait()
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{{199 * time.Millisecond, 1}, {200 * time.Millisecond, 2}, {399 * time.Millisecond, 2}, {time.Second, 3}} {
		clock.Store(int64(step.after))
		report, err := r.Report(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := int64(report.Total.In.Total.Packets); got != step.want || table.reads.Load() != step.want {
			t.Errorf("after %s the counters were read %d times, and the last client got %d, want %d", step.after, table.reads.Load(), got, step.want)
		}
	}
}

// TestReadingsSpareAKernelThatTakesLong has readings of a second.
func TestReadingsSpareAKernelThatTakesLong(t *testing.T) {
	var clock *atomic.Int64
	table, r, clock := newTestReadings(t, func() error { clock.Add(int64(time.Second)); return nil })
	for _, step := range []struct {
		at   time.Duration
		want int64
	}{{0, 1}, {2 * time.Second, 1}, {4999 * time.Millisecond, 1}, {5 * time.Second, 2}, {9 * time.Second, 2}, {10 * time.Second, 3}} {
		clock.Store(int64(step.at))
		if _, err := r.Report(t.Context()); err != nil || table.reads.Load() != step.want {
			t.Errorf("at %s: got %v, and %d readings, want %d", step.at, err, table.reads.Load(), step.want)
		}
	}
}

// TestReadingsSurviveTheClientThatAskedFirst has it leave during the reading.
func TestReadingsSurviveTheClientThatAskedFirst(t *testing.T) {
	release := make(chan struct{})
	table, r, _ := newTestReadings(t, func() error { <-release; return nil })
	hasty, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := r.Report(hasty)
		left <- err
	}()
	testkit.Until(t, "the reading begins", func() bool { return table.reads.Load() == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the first client got %v, want context.Canceled", err)
	}
	close(release)
	if _, err := r.Report(t.Context()); err != nil || table.reads.Load() != 1 {
		t.Errorf("the second client got %v after %d readings, want the first one", err, table.reads.Load())
	}
}

// TestReadingsDoNotHammerWhatFails asks while the clock stands still, and once later.
func TestReadingsDoNotHammerWhatFails(t *testing.T) {
	failure := errors.New("interrupted")
	table, r, clock := newTestReadings(t, func() error { return failure })
	for range 3 {
		if report, err := r.Report(t.Context()); report != nil || !errors.Is(err, failure) || table.reads.Load() != 1 {
			t.Errorf("got %v, %v after %d readings, want the failure of one", report, err, table.reads.Load())
		}
	}
	clock.Store(int64(minReadGap))
	if _, _ = r.Report(t.Context()); table.reads.Load() != 2 {
		t.Errorf("got %d readings, want another one later", table.reads.Load())
	}
}

// TestSavedReadingsAreSaved has a disk that is full at first.
func TestSavedReadingsAreSaved(t *testing.T) {
	_, r, _ := newTestReadings(t, func() error { return nil })
	disk := &fullDisk{full: true}
	r.meter = accounting.NewMeter(accounting.MeterOptions{Table: &slowTable{read: func() error { return nil }}, Store: disk, Log: newLog(io.Discard)})
	if report, err := r.SavedReport(t.Context()); report != nil || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: got %v, %v, want no report", report, err)
	}
	disk.full = false
	report, err := r.SavedReport(t.Context())
	if err != nil || report.Total.In.Total != disk.saved {
		t.Errorf("got %+v, %v, want the total that is saved, %v", report, err, disk.saved)
	}
}

// fullDisk is a store that may be full.
type fullDisk struct {
	full  bool
	saved accounting.Count
}

func (d *fullDisk) Save(changed accounting.State) error {
	if d.full {
		return syscall.ENOSPC
	}
	d.saved = changed.In
	return nil
}
