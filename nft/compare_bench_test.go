package nft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each of these benchmarks compares one thing that ssmonitor does with another
// way to do it. Machines are noisy, so figures of different runs are not
// comparable. Both ways take turns within each round. The figure of a round is
// the 10th percentile of its calls: the mean depends on whatever else the machine
// does, and the minimum on luck. The medians over all rounds are reported. One
// iteration is one round: -benchtime 25x runs 25. integration/benchtable makes a
// table of the output.

// compared names a benchmark by what it is compared with and the number of ports.
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

// compare measures ours and other, which are called calls times in each round.
func compare(b *testing.B, calls int, ours, other func() time.Duration) {
	b.Helper()
	ours() // the first call takes longer
	other()
	var c comparison
	mine, theirs := make([]float64, calls), make([]float64, calls)
	for b.Loop() {
		for i := range calls {
			mine[i] = float64(ours())
			theirs[i] = float64(other())
		}
		c.add(percentile(mine, 10), percentile(theirs, 10))
	}
	c.report(b)
}

// elapsed returns how long one call takes.
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
