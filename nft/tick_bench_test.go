package nft

import (
	"log/slog"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/output"
)

// BenchmarkTick compares everything that the agent does in an interval, except
// for writing files, with the reading alone.
func BenchmarkTick(b *testing.B) {
	for _, ports := range []int{3, 1000} {
		b.Run(compared("reading alone", ports), func(b *testing.B) {
			inNamespace(b)
			table := open(b, Options{})
			meter := accounting.NewMeter(accounting.MeterOptions{Source: table, Log: slog.New(slog.DiscardHandler)})
			if err := meter.SetPorts(portList(ports)); err != nil {
				b.Fatal(err)
			}
			var csv []byte
			tick := func() {
				report, err := meter.Tick()
				if err != nil {
					b.Fatal(err)
				}
				csv = output.AppendCSV(csv[:0], report)
			}
			reader := open(b, Options{})
			var sample accounting.Sample
			reading := func() {
				if err := reader.Read(&sample); err != nil {
					b.Fatal(err)
				}
			}
			pin(b)
			compare(b, 5+2000/ports,
				func() time.Duration { return elapsed(tick) },
				func() time.Duration { return elapsed(reading) })
			if len(csv) == 0 {
				b.Error("the ticks returned no report")
			}
			b.ReportMetric(testing.AllocsPerRun(5, tick), "allocations")
		})
	}
}
