package accounting

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestMeterOrder(t *testing.T) {
	tests := []struct {
		name  string
		ports Ports
		act   func(t *testing.T, b *bench)
		want  []string
	}{
		{"the first tick on a new table saves before it publishes", nil,
			func(t *testing.T, b *bench) {
				b.setPorts(t, aliceOnly)
				b.tick(t)
			},
			[]string{"attach " + aliceKeys, "read", "save", "install " + aliceKeys, "read", "save", "verify"}},
		{"a tick with the first traffic saves it, another one does not", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 1)
				b.tick(t)
				b.traffic(t, aliceIn, 1)
				b.tick(t)
			},
			[]string{"read", "verify", "save", "read", "verify"}},
		{"a reset is saved before it is published", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 5)
				b.tick(t)
				b.reset()
				b.tick(t)
			},
			[]string{"read", "verify", "save", "read", "save", "verify"}},
		{"a reset that a request finds is saved before it is published", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 5)
				b.tick(t)
				b.reset()
				if _, err := b.refresh(); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"read", "verify", "save", "read", "save"}},
		{"a table that others created is saved before it is published", aliceOnly,
			func(t *testing.T, b *bench) {
				b.kernel.load(nil)
				if err := b.kernel.Install(aliceOnly); err != nil {
					t.Fatal(err)
				}
				b.journal = nil
				b.tick(t)
			},
			[]string{"read", "save", "verify"}},
		{"a lost table is installed after a save", aliceOnly,
			func(t *testing.T, b *bench) {
				b.kernel.load(nil)
				if _, err := b.Tick(); !errors.Is(err, ErrNoTable) {
					t.Errorf("Tick: got %v", err)
				}
			},
			[]string{"read", "verify", "save", "install " + aliceKeys}},
		{"a restored table is replaced after a save", aliceOnly,
			func(t *testing.T, b *bench) {
				b.kernel.load(b.kernel.listing())
				if _, err := b.Tick(); !errors.Is(err, ErrRestored) {
					t.Errorf("Tick: got %v", err)
				}
			},
			[]string{"read", "verify", "save", "install " + aliceKeys}},
		{"a lost chain is repaired after a save", aliceOnly,
			func(t *testing.T, b *bench) { b.kernel.table.cut = true; b.tick(t) },
			[]string{"read", "verify", "save", "install " + aliceKeys}},
		{"a lost table is found before new ports are installed", aliceOnly,
			func(t *testing.T, b *bench) {
				b.kernel.load(nil)
				b.setPorts(t, aliceAndBob)
			},
			[]string{"attach " + bobKeys, "read", "verify", "save", "install " + aliceKeys, "save", "install " + bothKeys}},
		{"a new port is attached without a look at the others", aliceOnly,
			func(t *testing.T, b *bench) { b.setPorts(t, aliceAndBob); b.tick(t) },
			[]string{"attach " + bobKeys, "read", "verify"}},
		{"a new protocol of a port is attached alone", Ports{{20000, OnlyTCP, "alice", false}},
			func(t *testing.T, b *bench) { b.setPorts(t, Ports{{20000, TCPAndUDP, "alice", false}}) },
			[]string{"attach " + aliceKeys}},
		{"a removed port is detached, read, saved and then deleted", aliceAndBob,
			func(t *testing.T, b *bench) { b.setPorts(t, aliceOnly); b.tick(t) },
			[]string{"detach " + bobKeys, "read", "verify", "save", "delete " + bobKeys}},
		{"the last port is removed in the same way", aliceOnly,
			func(t *testing.T, b *bench) { b.setPorts(t, nil); b.tick(t); b.tick(t) },
			[]string{"detach " + aliceKeys, "read", "verify", "save", "delete " + aliceKeys, "read", "verify"}},
		{"a port that is added again at once is attached and not deleted", aliceAndBob,
			func(t *testing.T, b *bench) {
				b.setPorts(t, aliceOnly)
				b.setPorts(t, aliceAndBob)
				b.tick(t)
				b.tick(t)
			},
			[]string{"detach " + bobKeys, "attach " + bobKeys, "read", "verify", "read", "verify"}},
		{"a port that was removed while no agent ran is read twice, detached, read, saved and then deleted", aliceAndBob,
			func(t *testing.T, b *bench) {
				b.restart()
				b.setPorts(t, aliceOnly)
				b.journal = nil
				b.tick(t)
				b.tick(t)
				b.tick(t)
				b.expectLoggedOnce(t, "ports that are not in force")
			},
			[]string{"read", "verify", "read", "detach " + bobKeys, "verify", "read", "verify", "save", "delete " + bobKeys}},
		{"other names change nothing in the kernel", aliceOnly,
			func(t *testing.T, b *bench) {
				b.setPorts(t, Ports{{20000, OnlyUDP, "carol", false}})
				if got := b.tick(t).Ports[0].Port.Name; got != "carol" {
					t.Errorf("got name %q, want carol", got)
				}
			},
			[]string{"read", "verify"}},
		{"without a table and without ports nothing is installed", nil,
			func(t *testing.T, b *bench) {
				if report := b.tick(t); len(report.Ports) != 0 || report.Interval != 0 {
					t.Errorf("got report %+v, want an empty one", report)
				}
				if _, err := b.refresh(); err != nil {
					t.Error(err)
				}
			},
			[]string{"read", "save", "read"}},
		{"Flush reads and saves", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 5)
				if err := b.Flush(); err != nil {
					t.Error(err)
				}
				if got := b.saved(aliceIn); got != count(5) {
					t.Errorf("got %v saved, want %v", got, count(5))
				}
			},
			[]string{"read", "save"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, test.ports)
			test.act(t, b)
			b.expectJournal(t, test.want...)
		})
	}
}

func TestMeterKeepsCountingWhileItCannotSave(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.traffic(t, bobIn, 5)
	b.disk.fault = diskFull
	b.setPorts(t, aliceOnly)
	for range 3 {
		b.traffic(t, aliceIn, 1)
		b.tick(t)
	}
	if b.kernel.counter(bobIn) == nil {
		t.Fatal("a counter was deleted before its last reading was saved")
	}
	if in, _ := inOf(t, b.tick(t), 20000); in.Total != count(3) {
		t.Errorf("got total %v, want %v", in.Total, count(3))
	}
	b.expectLoggedOnce(t, "can't be saved")
	status := b.Status()
	if status.SaveFailures != 4 || !errors.Is(status.LastSaveError, errDisk) {
		t.Errorf("got status %+v, want 4 failures", status)
	}
	if err := b.Flush(); !errors.Is(err, errDisk) {
		t.Errorf("Flush: got %v, want %v", err, errDisk)
	}

	b.disk.fault = diskGood
	b.tick(t)
	if b.kernel.counter(bobIn) != nil {
		t.Error("the counter is not deleted after its last reading was saved")
	}
	if b.saved(bobIn) != count(5) || b.saved(aliceIn) != count(3) {
		t.Errorf("got %v and %v saved, want %v and %v", b.saved(bobIn), b.saved(aliceIn), count(5), count(3))
	}
	b.expectLoggedOnce(t, "saved again")
	if err := b.Status().LastSaveError; err != nil {
		t.Errorf("LastSaveError: got %v, want nil", err)
	}
}

func TestMeterSavesWhenASaveIsDue(t *testing.T) {
	tests := []struct {
		interval time.Duration
		want     int // saves in 4 ticks
	}{
		{0, 4},
		{2 * time.Second, 2},
		{time.Hour, 1},
	}
	for _, test := range tests {
		kernel, disk, saves := newKernel(), newDisk(), 0
		disk.onSave = func() { saves++ }
		meter := NewMeter(MeterOptions{Table: kernel, Now: kernel.now, Store: disk, SaveInterval: test.interval, Log: slog.New(slog.DiscardHandler)})
		for range 4 {
			kernel.clock = kernel.clock.Add(time.Second)
			if _, err := meter.Tick(); err != nil {
				t.Fatal(err)
			}
		}
		if saves != test.want {
			t.Errorf("interval %s: got %d saves, want %d", test.interval, saves, test.want)
		}
	}
}

func TestMeterWithoutAStore(t *testing.T) {
	kernel := newKernel()
	meter := NewMeter(MeterOptions{Table: kernel, Now: kernel.now, Log: slog.New(slog.DiscardHandler)})
	for _, ports := range []Ports{aliceAndBob, aliceOnly} {
		if err := meter.SetPorts(ports); err != nil {
			t.Fatal(err)
		}
		if _, err := meter.Tick(); err != nil {
			t.Fatal(err)
		}
	}
	if kernel.counter(bobIn) != nil {
		t.Error("a removed port still has its counter")
	}
	if err := meter.Flush(); err != nil {
		t.Error(err)
	}
}

func TestMeterLogsOnceWhatItCannotRepair(t *testing.T) {
	b := newBench(t, aliceOnly)
	refused := errors.New("refused")
	record := b.kernel.before
	b.kernel.before = func(call string) error {
		if strings.HasPrefix(call, "install") {
			return refused
		}
		return record(call)
	}
	b.kernel.load(nil)
	for range 3 {
		if _, err := b.Tick(); err == nil {
			t.Error("Tick without a table: got no error")
		}
	}
	b.expectLoggedOnce(t, "the table can't be repaired")
	if b.Status().Reinstalls != 0 {
		t.Error("a failed repair is counted")
	}
	b.kernel.before = record
	_, _ = b.Tick() // repairs it; there was nothing to read
	b.tick(t)
	if b.Status().Reinstalls != 1 {
		t.Errorf("got %d repairs, want 1", b.Status().Reinstalls)
	}
}

// TestFlushOnARestoredTable ends an agent before it has replaced the table. That
// is not an error, since the next agent replaces it.
func TestFlushOnARestoredTable(t *testing.T) {
	tests := []struct {
		name    string
		listing func(*kernel) *table
	}{
		{"restored", (*kernel).listing},
		{"missing", func(*kernel) *table { return nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, aliceOnly)
			b.traffic(t, aliceIn, 5)
			b.tick(t)
			b.kernel.load(test.listing(b.kernel))
			if err := b.Flush(); err != nil {
				t.Errorf("Flush: got %v", err)
			}
			if got := b.saved(aliceIn); got != count(5) {
				t.Errorf("got %v saved, want %v", got, count(5))
			}
		})
	}
}

// TestMeterLogsAFaultThatReturns lets somebody else repair what the meter could
// not, and break it again.
func TestMeterLogsAFaultThatReturns(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.fail["install"] = errors.New("refused")
	b.kernel.table.cut = true
	b.tick(t)
	b.kernel.table.cut = false
	b.tick(t)
	delete(b.fail, "install")
	b.kernel.table.cut = true
	b.tick(t)
	if logged := strings.Count(b.log.String(), `found="no chain"`); logged != 2 {
		t.Errorf("got %d log lines, want 2, in\n%s", logged, &b.log)
	}
	b.expectLoggedOnce(t, "the table is correct again")
}

func TestMeterLogsLoadedCounters(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.traffic(t, bobIn, 7)
	b.tick(t)
	listing := b.kernel.listing()
	b.setPorts(t, aliceOnly)
	b.tick(t)
	b.kernel.loadOnTop(listing)
	b.tick(t)
	b.expectLoggedOnce(t, "loaded from a saved ruleset")
	if got := b.saved(bobIn); got != count(7) {
		t.Errorf("got %v saved, want %v", got, count(7))
	}
}

func TestMeterCountsResets(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.traffic(t, aliceIn, 5)
	b.traffic(t, bobIn, 5)
	b.tick(t)
	b.reset()
	b.tick(t)
	if got := b.Status().Resets; got != 2 {
		t.Errorf("got %d resets, want 2", got)
	}
	b.expectLoggedOnce(t, "reset by somebody else")
}

// steady is a source whose counters never change.
type steady struct {
	*kernel
	readings []Reading
}

func (s steady) Read(sample *Sample) error {
	sample.Epoch, sample.Readings = Epoch{1}, append(sample.Readings[:0], s.readings...)
	return nil
}

func (s steady) Verify(Ports) ([]string, error) { return nil, nil }

func (s steady) Attach(Ports) error { return nil }

func TestSteadyTickDoesNotAllocate(t *testing.T) {
	var ports Ports
	source := steady{kernel: newKernel()}
	for number := range uint16(1000) {
		port := Port{Number: number + 1, Protocols: TCPAndUDP}
		ports = append(ports, port)
		for _, key := range port.Keys(nil) {
			source.readings = append(source.readings, Reading{Key: key, Handle: uint64(len(source.readings))})
		}
	}
	meter := NewMeter(MeterOptions{Table: source, Log: slog.New(slog.DiscardHandler)})
	if err := meter.SetPorts(ports); err != nil {
		t.Fatal(err)
	}
	if allocations := testing.AllocsPerRun(100, func() {
		for i := range source.readings {
			source.readings[i].Count = source.readings[i].Count.Plus(count(1))
		}
		if _, err := meter.Tick(); err != nil {
			t.Fatal(err)
		}
	}); allocations > 0 {
		t.Errorf("a tick allocates %.0f times, want 0", allocations)
	}
}
