package accounting

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// The ports of the meter's tests are counted for UDP alone: two counters each.
var (
	aliceAndBob = Ports{{20000, OnlyUDP, "alice"}, {20001, OnlyUDP, "bob"}}
	aliceOnly   = aliceAndBob[:1]

	aliceIn = Key{20000, UDP, In}
	bobIn   = Key{20001, UDP, In}
)

const (
	aliceKeys = "[udp-20000-in udp-20000-out]"
	bobKeys   = "[udp-20001-in udp-20001-out]"
	bothKeys  = "[udp-20000-in udp-20000-out udp-20001-in udp-20001-out]"
)

// bench is a meter on models of the kernel and the disk, and the journal of
// what it asks of them.
type bench struct {
	*Meter
	kernel  *kernel
	disk    *disk
	journal []string
	fail    map[string]error // by the first word of a call
	log     bytes.Buffer
}

// newBench has a meter that saves only what can't wait. Ports are in force, and
// a first tick is done, where there are any.
func newBench(t *testing.T, ports Ports) *bench {
	t.Helper()
	b := &bench{kernel: newKernel(), disk: newDisk(), fail: make(map[string]error)}
	note := func(call string) error {
		b.journal = append(b.journal, call)
		name, _, _ := strings.Cut(call, " ")
		return b.fail[name]
	}
	b.kernel.before, b.disk.before = note, note
	b.restart()
	if len(ports) > 0 {
		b.setPorts(t, ports)
		b.tick(t)
		b.journal = nil
	}
	return b
}

// restart is what a crash and the start of a new agent come to.
func (b *bench) restart() {
	b.Meter = NewMeter(MeterOptions{
		Source: b.kernel, Now: b.kernel.now, Store: b.disk, Saved: b.disk.state(),
		SaveInterval: time.Hour, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	})
}

func (b *bench) setPorts(t *testing.T, ports Ports) {
	t.Helper()
	if err := b.SetPorts(ports); err != nil {
		t.Fatal(err)
	}
}

// tick lets a second pass.
func (b *bench) tick(t *testing.T) *Report {
	t.Helper()
	b.kernel.clock = b.kernel.clock.Add(time.Second)
	report, err := b.Tick()
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// traffic passes a port that is counted.
func (b *bench) traffic(t *testing.T, key Key, packets uint64) {
	t.Helper()
	if !b.kernel.traffic(key, count(packets)) {
		t.Fatalf("%s is not counted", key)
	}
}

// reset sets all counters back, as `nft reset counters` does.
func (b *bench) reset() {
	for _, c := range b.kernel.table.counters {
		c.value = Count{}
	}
}

// saved is what the next agent would begin with.
func (b *bench) saved(key Key) Count { return b.disk.accounts[key].Total }

func (b *bench) expectJournal(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(b.journal, want) {
		t.Errorf("the meter asked for\n\t%s\nwant\n\t%s", strings.Join(b.journal, "\n\t"), strings.Join(want, "\n\t"))
	}
	b.journal = nil
}

func (b *bench) expectSaidOnce(t *testing.T, text string) {
	t.Helper()
	if said := strings.Count(b.log.String(), text); said != 1 {
		t.Errorf("%q is said %d times, want once, in\n%s", text, said, &b.log)
	}
}

// inOf returns what a report says that clients sent to a port, and at what rate.
func inOf(t *testing.T, report *Report, number uint16) (flow Flow, rated bool) {
	t.Helper()
	for _, port := range report.Ports {
		if port.Port.Number == number {
			return port.UDP.In, port.Rated
		}
	}
	t.Fatalf("port %d is not in the report", number)
	return Flow{}, false
}

func TestMeterOrder(t *testing.T) {
	tests := []struct {
		name  string
		ports Ports
		act   func(t *testing.T, b *bench)
		want  []string
	}{
		{"the first tick on a new table saves what it found before it is published", nil,
			func(t *testing.T, b *bench) {
				b.setPorts(t, aliceOnly)
				b.tick(t)
			},
			[]string{"read", "save", "install " + aliceKeys, "read", "save", "verify"}},
		{"a quiet tick saves nothing", aliceOnly,
			func(t *testing.T, b *bench) { b.traffic(t, aliceIn, 1); b.tick(t) },
			[]string{"read", "verify"}},
		{"a reset is saved before it is published", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 5)
				b.tick(t)
				b.reset()
				b.tick(t)
			},
			[]string{"read", "verify", "read", "save", "verify"}},
		{"a reset that a request meets is saved before it is published", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 5)
				b.tick(t)
				b.reset()
				if _, err := b.Refresh(); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"read", "verify", "read", "save"}},
		{"a table that others made meanwhile is saved before it is published", aliceOnly,
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
					t.Errorf("the tick: %v", err)
				}
			},
			[]string{"read", "verify", "save", "install " + aliceKeys}},
		{"a restored table is replaced after a save", aliceOnly,
			func(t *testing.T, b *bench) {
				b.kernel.load(b.kernel.listing())
				if _, err := b.Tick(); !errors.Is(err, ErrRestored) {
					t.Errorf("the tick: %v", err)
				}
			},
			[]string{"read", "verify", "save", "install " + aliceKeys}},
		{"a lost chain is put right after a save", aliceOnly,
			func(t *testing.T, b *bench) { b.kernel.table.cut = true; b.tick(t) },
			[]string{"read", "verify", "save", "install " + aliceKeys}},
		{"a lost table is found before new ports are installed", aliceOnly,
			func(t *testing.T, b *bench) {
				b.kernel.load(nil)
				b.setPorts(t, aliceAndBob)
			},
			[]string{"read", "verify", "save", "install " + aliceKeys, "save", "install " + bothKeys}},
		{"a port that goes is detached, read, saved and then deleted", aliceAndBob,
			func(t *testing.T, b *bench) { b.setPorts(t, aliceOnly); b.tick(t) },
			[]string{"read", "verify", "detach " + bobKeys, "read", "verify", "save", "delete " + bobKeys}},
		{"the last port goes in the same way", aliceOnly,
			func(t *testing.T, b *bench) { b.setPorts(t, nil); b.tick(t); b.tick(t) },
			[]string{"read", "verify", "detach " + aliceKeys, "read", "verify", "save", "delete " + aliceKeys, "read", "verify"}},
		{"a port that returns at once is attached and not deleted", aliceAndBob,
			func(t *testing.T, b *bench) {
				b.setPorts(t, aliceOnly)
				b.setPorts(t, aliceAndBob)
				b.tick(t)
				b.tick(t)
			},
			[]string{"read", "verify", "detach " + bobKeys, "read", "verify", "save", "install " + bothKeys,
				"read", "verify", "read", "verify"}},
		{"a port that was removed while no agent ran is met twice, detached, read, saved and then deleted", aliceAndBob,
			func(t *testing.T, b *bench) {
				b.restart()
				b.setPorts(t, aliceOnly)
				b.journal = nil
				b.tick(t)
				b.tick(t)
				b.tick(t)
				b.expectSaidOnce(t, "ports that are not in force")
			},
			[]string{"read", "verify", "read", "detach " + bobKeys, "verify", "read", "verify", "save", "delete " + bobKeys}},
		{"other names change nothing in the kernel", aliceOnly,
			func(t *testing.T, b *bench) {
				b.setPorts(t, Ports{{20000, OnlyUDP, "carol"}})
				if got := b.tick(t).Ports[0].Port.Name; got != "carol" {
					t.Errorf("the report names %q", got)
				}
			},
			[]string{"read", "verify", "read", "verify"}},
		{"without a table and without ports nothing is installed", nil,
			func(t *testing.T, b *bench) {
				if report := b.tick(t); len(report.Ports) != 0 || report.Interval != 0 {
					t.Errorf("the report is %+v", report)
				}
				if _, err := b.Refresh(); err != nil {
					t.Error(err)
				}
			},
			[]string{"read", "save", "read"}},
		{"the end reads and saves", aliceOnly,
			func(t *testing.T, b *bench) {
				b.traffic(t, aliceIn, 5)
				if err := b.Flush(); err != nil {
					t.Error(err)
				}
				if got := b.saved(aliceIn); got != count(5) {
					t.Errorf("saved are %v", got)
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

func TestMeterCountsOnWhileItCannotSave(t *testing.T) {
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
		t.Errorf("counted are %v, want %v", in.Total, count(3))
	}
	b.expectSaidOnce(t, "can't be saved")
	status := b.Status()
	if status.SaveFailures != 4 || !errors.Is(status.LastSaveError, errDisk) {
		t.Errorf("the status is %+v", status)
	}
	if err := b.Flush(); !errors.Is(err, errDisk) {
		t.Errorf("the end: %v", err)
	}

	b.disk.fault = diskGood
	b.tick(t)
	if b.kernel.counter(bobIn) != nil {
		t.Error("the counter is not deleted once it could be saved")
	}
	if b.saved(bobIn) != count(5) || b.saved(aliceIn) != count(3) {
		t.Errorf("saved are %v and %v", b.saved(bobIn), b.saved(aliceIn))
	}
	b.expectSaidOnce(t, "saved again")
	if err := b.Status().LastSaveError; err != nil {
		t.Errorf("the last save: %v", err)
	}
}

// TestMeterSavesAtEachTickThatIsDue has meters that differ in nothing else.
func TestMeterSavesAtEachTickThatIsDue(t *testing.T) {
	for interval, want := range map[time.Duration]int{0: 4, 2 * time.Second: 2, time.Hour: 1} {
		kernel, disk, saves := newKernel(), newDisk(), 0
		disk.onSave = func() { saves++ }
		meter := NewMeter(MeterOptions{Source: kernel, Now: kernel.now, Store: disk, SaveInterval: interval, Log: slog.New(slog.DiscardHandler)})
		for range 4 {
			kernel.clock = kernel.clock.Add(time.Second)
			if _, err := meter.Tick(); err != nil {
				t.Fatal(err)
			}
		}
		if saves != want {
			t.Errorf("at an interval of %s four ticks save %d times, want %d", interval, saves, want)
		}
	}
}

func TestMeterWithoutAStore(t *testing.T) {
	kernel := newKernel()
	meter := NewMeter(MeterOptions{Source: kernel, Now: kernel.now, Log: slog.New(slog.DiscardHandler)})
	for _, ports := range []Ports{aliceAndBob, aliceOnly} {
		if err := meter.SetPorts(ports); err != nil {
			t.Fatal(err)
		}
		if _, err := meter.Tick(); err != nil {
			t.Fatal(err)
		}
	}
	if kernel.counter(bobIn) != nil {
		t.Error("a port that has gone still has its counter")
	}
	if err := meter.Flush(); err != nil {
		t.Error(err)
	}
}

func TestMeterRates(t *testing.T) {
	b := newBench(t, nil)
	b.setPorts(t, aliceOnly)
	b.traffic(t, aliceIn, 5)
	report := b.tick(t)
	if in, rated := inOf(t, report, 20000); rated || report.Interval != 0 || in != (Flow{Total: count(5)}) {
		t.Errorf("the first tick reports %+v, rated %t, over %s", in, rated, report.Interval)
	}

	b.traffic(t, aliceIn, 10)
	b.kernel.clock = b.kernel.clock.Add(time.Second)
	report = b.tick(t)
	want := Flow{count(15), Rate{Packets: 5, Bytes: 500}}
	if in, rated := inOf(t, report, 20000); !rated || report.Interval != 2*time.Second || in != want {
		t.Errorf("reported %+v, rated %t, over %s, want %+v over 2s", in, rated, report.Interval, want)
	}
	if report.Total.In != want {
		t.Errorf("in total reported %+v, want %+v", report.Total.In, want)
	}

	// A port that was not read at both ends has no rate, the others do.
	b.setPorts(t, aliceAndBob)
	b.traffic(t, bobIn, 7)
	report = b.tick(t)
	if in, rated := inOf(t, report, 20001); rated || in != (Flow{Total: count(7)}) {
		t.Errorf("the new port is reported with %+v, rated %t", in, rated)
	}
	if _, rated := inOf(t, report, 20000); !rated {
		t.Error("the port that stays has no rate")
	}

	// Nor has one whose counter was lost, until it was read twice again.
	delete(b.kernel.table.counters, bobIn)
	for i, want := range []bool{false, false, true} {
		if in, rated := inOf(t, b.tick(t), 20001); rated != want || in.Total != count(7) {
			t.Errorf("%d ticks after its loss the port is reported with %+v, rated %t", i+1, in, rated)
		}
	}
}

func TestMeterHasNoRatesAfterAnError(t *testing.T) {
	for _, call := range []string{"read", "verify"} {
		t.Run(call, func(t *testing.T) {
			b := newBench(t, aliceOnly)
			b.tick(t)
			b.tick(t)
			failure := errors.New("interrupted")
			b.fail[call] = failure
			b.traffic(t, aliceIn, 5)
			switch report, err := b.Tick(); call {
			case "read":
				if !errors.Is(err, failure) || report != nil || !errors.Is(b.Status().LastError, failure) || b.Status().RepairError != nil {
					t.Fatalf("the tick returns %v, %v, the status is %+v", report, err, b.Status())
				}
			case "verify":
				if err != nil || !errors.Is(b.Status().RepairError, failure) || b.Status().LastError != nil {
					t.Fatalf("the tick returns %v, the status is %+v", err, b.Status())
				}
				if in, rated := inOf(t, report, 20000); rated || report.Interval != 0 || in.Total != count(5) {
					t.Fatalf("the port is reported with %+v, rated %t, over %s", in, rated, report.Interval)
				}
				b.expectSaidOnce(t, "the table can't be repaired")
			}
			delete(b.fail, call)
			b.traffic(t, aliceIn, 5)
			report := b.tick(t)
			if in, rated := inOf(t, report, 20000); rated || report.Interval != 0 || in != (Flow{Total: count(10)}) {
				t.Errorf("the tick after reports %+v, rated %t, over %s", in, rated, report.Interval)
			}
			b.traffic(t, aliceIn, 5)
			if in, rated := inOf(t, b.tick(t), 20000); !rated || in.Rate.Packets != 5 {
				t.Errorf("the second tick after reports %+v, rated %t", in, rated)
			}
		})
	}
}

func TestRefreshHasFreshTotalsAndTheLastRates(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.traffic(t, aliceIn, 4)
	ended := b.tick(t).Time
	b.traffic(t, aliceIn, 10)
	b.kernel.clock = b.kernel.clock.Add(500 * time.Millisecond)
	report, err := b.Refresh()
	if err != nil {
		t.Fatal(err)
	}
	want := Flow{count(14), Rate{Packets: 4, Bytes: 400}}
	if in, rated := inOf(t, report, 20000); in != want || !rated || report.Interval != time.Second {
		t.Errorf("reported %+v, rated %t, over %s, want %+v over 1s", in, rated, report.Interval, want)
	}
	if age := report.Time.Sub(ended); age != 500*time.Millisecond {
		t.Errorf("the report is of %s after the tick", age)
	}
	b.kernel.clock = b.kernel.clock.Add(500 * time.Millisecond)
	report = b.tick(t) // a second later still
	want = Flow{count(14), Rate{Packets: 5, Bytes: 500}}
	if in, _ := inOf(t, report, 20000); in != want || report.Interval != 2*time.Second {
		t.Errorf("the next tick reports %+v over %s, want %+v over 2s", in, report.Interval, want)
	}

	b.fail["read"] = errors.New("interrupted")
	if report, err := b.Refresh(); err == nil || report != nil {
		t.Errorf("a request whose reading fails is answered with %v", report)
	}
}

// TestMeterForgetsRatesWhileItIsIdle has a port come back after an hour without
// a table.
func TestMeterForgetsRatesWhileItIsIdle(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.tick(t)
	b.setPorts(t, nil)
	b.kernel.load(nil)
	b.tick(t)
	b.kernel.clock = b.kernel.clock.Add(time.Hour)
	b.setPorts(t, aliceOnly)
	report := b.tick(t)
	if _, rated := inOf(t, report, 20000); rated || report.Interval != 0 {
		t.Errorf("the port is rated %t, over %s", rated, report.Interval)
	}
}

func TestMeterDoesNotCountWhatAFileSays(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.traffic(t, aliceIn, 100)
	listing := b.kernel.listing()
	b.tick(t)
	b.kernel.load(listing)
	b.traffic(t, aliceIn, 10) // on the restored table
	if report, err := b.Refresh(); !errors.Is(err, ErrRestored) || report != nil {
		t.Errorf("a request meanwhile is answered with %v, %v", report, err)
	}
	if _, err := b.Tick(); !errors.Is(err, ErrRestored) {
		t.Errorf("the tick: %v", err)
	}
	b.traffic(t, aliceIn, 3)
	if in, _ := inOf(t, b.tick(t), 20000); in.Total != count(103) {
		t.Errorf("the total is %v, want %v", in.Total, count(103))
	}
	if status := b.Status(); status.Reinstalls != 1 || status.Resets != 0 {
		t.Errorf("the status is %+v", status)
	}
	b.expectSaidOnce(t, "found=restored")
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
			t.Error("a tick without a table succeeds")
		}
	}
	b.expectSaidOnce(t, "the table can't be repaired")
	if b.Status().Reinstalls != 0 {
		t.Error("a repair that failed is counted")
	}
	b.kernel.before = record
	_, _ = b.Tick() // repairs it; there was nothing to read
	b.tick(t)
	if b.Status().Reinstalls != 1 {
		t.Errorf("%d repairs are counted, expected 1", b.Status().Reinstalls)
	}
}

// TestFlushOnARestoredTable ends an agent before it has replaced the table:
// that is no failure, the next one does it.
func TestFlushOnARestoredTable(t *testing.T) {
	for name, listing := range map[string]func(*kernel) *table{
		"restored": (*kernel).listing,
		"gone":     func(*kernel) *table { return nil },
	} {
		b := newBench(t, aliceOnly)
		b.traffic(t, aliceIn, 5)
		b.tick(t)
		b.kernel.load(listing(b.kernel))
		if err := b.Flush(); err != nil {
			t.Errorf("the end while the table is %s: %v", name, err)
		}
		if got := b.saved(aliceIn); got != count(5) {
			t.Errorf("saved are %v, want %v", got, count(5))
		}
	}
}

// TestMeterLogsAFaultThatCameBack has somebody else repair what the meter could
// not, and break it again.
func TestMeterLogsAFaultThatCameBack(t *testing.T) {
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
		t.Errorf("the fault is logged %d times, want twice, in\n%s", logged, &b.log)
	}
	b.expectSaidOnce(t, "as it should be again")
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
	b.expectSaidOnce(t, "loaded from a saved ruleset")
	if got := b.saved(bobIn); got != count(7) {
		t.Errorf("saved are %v, want %v", got, count(7))
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
		t.Errorf("%d counters were reset, want 2", got)
	}
	b.expectSaidOnce(t, "reset by somebody else")
}

func TestSetPortsIsInForceAfterAnError(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.fail["install"] = errors.New("refused")
	if err := b.SetPorts(aliceAndBob); err == nil {
		t.Fatal("the failure is not returned")
	}
	if got := b.Ports(); !slices.Equal(got, aliceAndBob) {
		t.Errorf("in force are %v", got)
	}
	delete(b.fail, "install")
	b.tick(t)
	b.traffic(t, bobIn, 1)

	b.fail["detach"] = errors.New("refused")
	if err := b.SetPorts(aliceOnly); err == nil {
		t.Fatal("the failure is not returned")
	}
	delete(b.fail, "detach")
	b.tick(t)
	b.tick(t)
	if b.kernel.counter(bobIn) != nil {
		t.Error("the port that has gone still has its counter")
	}
	if got := b.saved(bobIn); got != count(1) {
		t.Errorf("saved are %v", got)
	}
}

// TestMeterDeletesWhatSomebodyAttachedAgain has a port come back to life, by
// another process, between its detaching and its deletion.
func TestMeterDeletesWhatSomebodyAttachedAgain(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.setPorts(t, aliceOnly)
	b.kernel.counter(bobIn).attached = true
	b.tick(t)
	b.expectSaidOnce(t, "could not be deleted")
	b.traffic(t, bobIn, 3)
	b.tick(t)
	b.tick(t)
	if b.kernel.counter(bobIn) != nil {
		t.Error("the port that has gone still has its counter")
	}
	if got := b.saved(bobIn); got != count(3) {
		t.Errorf("saved are %v, want %v", got, count(3))
	}
	b.expectSaidOnce(t, "could not be deleted")
}

func TestMeterKeepsItsOwnListOfPorts(t *testing.T) {
	b := newBench(t, nil)
	ports := slices.Clone(aliceAndBob)
	b.setPorts(t, ports)
	ports[0].Name = "mallory"
	b.Ports()[1].Name = "mallory"
	for _, port := range b.tick(t).Ports {
		if port.Port.Name == "mallory" {
			t.Errorf("port %d changed its name by itself", port.Port.Number)
		}
	}
}
