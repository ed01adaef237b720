package accounting

import (
	"errors"
	"testing"
	"time"
)

func TestMeterRates(t *testing.T) {
	b := newBench(t, nil)
	b.setPorts(t, aliceOnly)
	b.traffic(t, aliceIn, 5)
	report := b.tick(t)
	if in, rated := inOf(t, report, 20000); rated || report.Interval != 0 || in != (Flow{Total: count(5)}) {
		t.Errorf("first tick: got %+v, rated %t, over %s, want no rate", in, rated, report.Interval)
	}

	b.traffic(t, aliceIn, 10)
	b.kernel.clock = b.kernel.clock.Add(time.Second)
	report = b.tick(t)
	want := Flow{Total: count(15), Rate: Rate{Packets: 5, Bytes: 500}}
	if in, rated := inOf(t, report, 20000); !rated || report.Interval != 2*time.Second || in != want {
		t.Errorf("got %+v, rated %t, over %s, want %+v over 2s", in, rated, report.Interval, want)
	}
	if report.Total.In != want {
		t.Errorf("total: got %+v, want %+v", report.Total.In, want)
	}

	// A port that was not read at both ends of the interval has no rate; the
	// others have one.
	b.setPorts(t, aliceAndBob)
	b.traffic(t, bobIn, 7)
	report = b.tick(t)
	if in, rated := inOf(t, report, 20001); rated || in != (Flow{Total: count(7)}) {
		t.Errorf("new port: got %+v, rated %t, want no rate", in, rated)
	}
	if _, rated := inOf(t, report, 20000); !rated {
		t.Error("the other port has no rate")
	}

	// A port whose counter was lost has no rate until it was read twice again.
	delete(b.kernel.table.counters, bobIn)
	for i, want := range []bool{false, false, true} {
		if in, rated := inOf(t, b.tick(t), 20001); rated != want || in.Total != count(7) {
			t.Errorf("%d ticks after the loss: got %+v, rated %t, want rated %t", i+1, in, rated, want)
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
					t.Fatalf("Tick: got %v, %v and status %+v", report, err, b.Status())
				}
			case "verify":
				if err != nil || !errors.Is(b.Status().RepairError, failure) || b.Status().LastError != nil {
					t.Fatalf("Tick: got %v and status %+v", err, b.Status())
				}
				if in, rated := inOf(t, report, 20000); rated || report.Interval != 0 || in.Total != count(5) {
					t.Fatalf("got %+v, rated %t, over %s, want no rate", in, rated, report.Interval)
				}
				b.expectLoggedOnce(t, "the table can't be repaired")
			}
			delete(b.fail, call)
			b.traffic(t, aliceIn, 5)
			report := b.tick(t)
			if in, rated := inOf(t, report, 20000); rated || report.Interval != 0 || in != (Flow{Total: count(10)}) {
				t.Errorf("next tick: got %+v, rated %t, over %s, want no rate", in, rated, report.Interval)
			}
			b.traffic(t, aliceIn, 5)
			if in, rated := inOf(t, b.tick(t), 20000); !rated || in.Rate.Packets != 5 {
				t.Errorf("second tick after: got %+v, rated %t, want a rate of 5 packets", in, rated)
			}
		})
	}
}

func TestReportHasFreshTotalsAndTheLastRates(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.traffic(t, aliceIn, 4)
	ended := b.tick(t).Time
	b.traffic(t, aliceIn, 10)
	b.kernel.clock = b.kernel.clock.Add(500 * time.Millisecond)
	report, err := b.refresh()
	if err != nil {
		t.Fatal(err)
	}
	want := Flow{Total: count(14), Rate: Rate{Packets: 4, Bytes: 400}}
	if in, rated := inOf(t, report, 20000); in != want || !rated || report.Interval != time.Second {
		t.Errorf("got %+v, rated %t, over %s, want %+v over 1s", in, rated, report.Interval, want)
	}
	if age := report.Time.Sub(ended); age != 500*time.Millisecond {
		t.Errorf("got a report of %s after the tick, want 500ms", age)
	}
	b.kernel.clock = b.kernel.clock.Add(500 * time.Millisecond)
	report = b.tick(t) // two seconds after the last tick
	want = Flow{Total: count(14), Rate: Rate{Packets: 5, Bytes: 500}}
	if in, _ := inOf(t, report, 20000); in != want || report.Interval != 2*time.Second {
		t.Errorf("next tick: got %+v over %s, want %+v over 2s", in, report.Interval, want)
	}

	b.fail["read"] = errors.New("interrupted")
	if report, err := b.refresh(); err == nil || report != nil {
		t.Errorf("refresh without a reading: got %v, %v, want an error", report, err)
	}
}

// TestMeterForgetsRatesWhileItIsIdle adds a port again after an hour without a
// table.
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
		t.Errorf("got rated %t over %s, want no rate", rated, report.Interval)
	}
}

// TestMeterHasNoRateOverNoTime ends two intervals at one moment.
func TestMeterHasNoRateOverNoTime(t *testing.T) {
	b := newBench(t, aliceOnly)
	for _, packets := range []uint64{0, 5} { // 0/0 and 5/0
		b.traffic(t, aliceIn, packets)
		report, err := b.Tick()
		if err != nil {
			t.Fatal(err)
		}
		in, rated := inOf(t, report, 20000)
		if rated || report.Interval != 0 || in != (Flow{Total: count(packets)}) || report.Total.In != in {
			t.Errorf("got %+v, rated %t, over %s, want the total alone", in, rated, report.Interval)
		}
	}
	b.traffic(t, aliceIn, 3)
	if in, rated := inOf(t, b.tick(t), 20000); !rated || in.Rate.Packets != 3 {
		t.Errorf("a second later: got %+v, rated %t, want 3 packets per second", in, rated)
	}
}
