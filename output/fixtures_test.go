package output

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, func() error {
		if condition() {
			return nil
		}
		return errors.New("no: " + what)
	})
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

func flow(packets, bytes uint64, packetRate, byteRate float64) accounting.Flow {
	return accounting.Flow{
		Total: accounting.Count{Packets: packets, Bytes: bytes},
		Rate:  accounting.Rate{Packets: packetRate, Bytes: byteRate},
	}
}

// sampleReport has a port of both protocols, one of each alone, and one that
// was not read twice yet.
func sampleReport() *accounting.Report {
	return &accounting.Report{
		Time:     noon,
		Interval: 2 * time.Second,
		Total: accounting.Traffic{
			In:  flow(1100, 141000, 12.5, 1834.2205),
			Out: flow(2200, 9.1e18, 14, 98211.007),
		},
		Ports: []accounting.PortReport{
			{
				Port: accounting.Port{Number: 443, Protocols: accounting.OnlyTCP, Name: "no rates \"yet\""},
				TCP:  accounting.Traffic{In: flow(1, 40, 0, 0), Out: flow(0, 0, 0, 0)},
			},
			{
				Port: accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"},
				TCP: accounting.Traffic{
					In:  flow(1000, 140000, 12, 1800.2205),
					Out: flow(2000, 9.1e18, 13.5, 98000.003),
				},
				UDP:         accounting.Traffic{In: flow(99, 960, 0.5, 34), Out: flow(200, 1000, 0.5, 211.0041)},
				Rated:       true,
				Connections: accounting.Connections{Known: true, Established: 3, Addresses: 2},
			},
			{
				Port:  accounting.Port{Number: 20001, Protocols: accounting.OnlyUDP, Name: "bob é 漢"},
				Rated: true,
			},
			{
				Port:        accounting.Port{Number: 65535, Protocols: accounting.OnlyTCP},
				TCP:         accounting.Traffic{Out: flow(7, 7, 0, 1234567890.1234)},
				Rated:       true,
				Connections: accounting.Connections{Known: true},
			},
		},
	}
}

// manyPorts is a report of that many ports, all with rates.
func manyPorts(number int) *accounting.Report {
	report := &accounting.Report{Time: noon, Interval: time.Second}
	for i := range number {
		traffic := accounting.Traffic{
			In:  flow(uint64(i), uint64(i)*1000, 12345.678, 1234567.891),
			Out: flow(uint64(i), uint64(i)*2000, 12345.678, 2345678.912),
		}
		report.Ports = append(report.Ports, accounting.PortReport{
			Port:  accounting.Port{Number: uint16(i + 1), Protocols: accounting.TCPAndUDP, Name: "client"},
			TCP:   traffic,
			UDP:   traffic,
			Rated: true,
		})
	}
	return report
}
