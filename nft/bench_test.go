package nft

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/nftables"

	"ssmonitor/accounting"
)

// These benchmarks are for working on this package; integration/compare compares
// the costs with those of other ways.

func BenchmarkInstalling(b *testing.B) {
	forPorts(b, func(b *testing.B, table *Table, ports accounting.Ports) {
		library, err := nftables.New()
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			install(b, table, ports)
			b.StopTimer()
			library.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: TableName})
			if err := library.Flush(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

func BenchmarkReading(b *testing.B) {
	forPorts(b, func(b *testing.B, table *Table, ports accounting.Ports) {
		install(b, table, ports)
		b.ReportAllocs()
		var sample accounting.Sample
		for b.Loop() {
			if err := table.Read(&sample); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkTick measures what the agent does in an interval, except for its outputs.
func BenchmarkTick(b *testing.B) {
	forPorts(b, func(b *testing.B, table *Table, ports accounting.Ports) {
		meter := accounting.NewMeter(accounting.MeterOptions{Table: table, Log: slog.New(slog.DiscardHandler)})
		if err := meter.SetPorts(ports); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := meter.Tick(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func forPorts(b *testing.B, run func(b *testing.B, table *Table, ports accounting.Ports)) {
	b.Helper()
	for _, ports := range []int{3, 1000, 10_000} {
		b.Run(fmt.Sprint(ports), func(b *testing.B) {
			inNamespace(b)
			run(b, open(b, Options{}), portList(ports))
		})
	}
}
