package accounting

import "testing"

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
