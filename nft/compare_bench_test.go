package nft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These benchmarks each hold one thing that ssmonitor does against another way
// to do it. Machines are noisy, so that figures of two runs don't compare: both
// ways take turns, once a round, and the medians over all rounds are reported.
// One iteration is one round: -benchtime 25x makes 25 of them. benchtable makes
// a table of what they print.

// compared names a benchmark by what it is held against and the number of ports.
func compared(against string, ports int) string { return fmt.Sprintf("%s/%d", against, ports) }

// comparison is what the rounds of one benchmark measured, in nanoseconds.
type comparison struct{ ours, others, ratios []float64 }

func (c *comparison) add(ours, other float64) {
	c.ours = append(c.ours, ours)
	c.others = append(c.others, other)
	c.ratios = append(c.ratios, ours/other)
}

func (c *comparison) report(b *testing.B) {
	b.ReportMetric(median(c.ours), "ns/op")
	b.ReportMetric(median(c.others), "other-ns/op")
	b.ReportMetric(median(c.ratios), "ratio")
}

// compare measures ours and other in turn. Each is called repeat times a round,
// which is to be long enough for the clock and short enough for both to meet the
// same machine.
func compare(b *testing.B, repeat int, ours, other func() time.Duration) {
	b.Helper()
	average := func(call func() time.Duration) float64 {
		var sum time.Duration
		for range repeat {
			sum += call()
		}
		return float64(sum) / float64(repeat)
	}
	average(ours) // the first call is never like the others
	average(other)
	var c comparison
	for b.Loop() {
		if len(c.ours)%2 == 0 {
			c.add(average(ours), average(other))
		} else {
			theirs := average(other)
			c.add(average(ours), theirs)
		}
	}
	c.report(b)
}

// elapsed times one call.
func elapsed(call func()) time.Duration {
	started := time.Now()
	call()
	return time.Since(started)
}

func median(values []float64) float64 { return percentile(values, 50) }

// percentile sorts values and returns the one that percent of them are below.
func percentile(values []float64, percent int) float64 {
	slices.Sort(values)
	return values[len(values)*percent/100]
}

// pin keeps the test's thread, which inNamespace has locked, on one processor.
func pin(b *testing.B) {
	b.Helper()
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		b.Fatal(err)
	}
	for processor := range len(allowed) * 64 {
		if allowed.IsSet(processor) {
			one.Set(processor)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Fatal(err)
	}
}
