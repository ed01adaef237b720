// Package sample has reports and usage for the tests of several formats.
package sample

import (
	"time"

	"ssmonitor/accounting"
)

// AtNoon is a clock that stands still.
func AtNoon() time.Time { return Noon }

// Noon is the time of the samples.
var Noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

// Flow returns a flow with a total and a rate.
func Flow(packets, bytes uint64, packetRate, byteRate float64) accounting.Flow {
	return accounting.Flow{
		Total: accounting.Count{Packets: packets, Bytes: bytes},
		Rate:  accounting.Rate{Packets: packetRate, Bytes: byteRate},
	}
}

// Report has a port of both protocols, one of each alone, and one that
// was not read twice yet.
func Report() *accounting.Report {
	return &accounting.Report{
		Time:     Noon,
		Interval: 2 * time.Second,
		Total: accounting.Traffic{
			In:  Flow(1100, 141000, 12.5, 1834.2205),
			Out: Flow(2200, 9.1e18, 14, 98211.007),
		},
		Ports: []accounting.PortReport{
			{
				Port: accounting.Port{Number: 443, Protocols: accounting.OnlyTCP, Name: "no rates \"yet\""},
				TCP:  accounting.Traffic{In: Flow(1, 40, 0, 0), Out: Flow(0, 0, 0, 0)},
			},
			{
				Port: accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"},
				TCP: accounting.Traffic{
					In:  Flow(1000, 140000, 12, 1800.2205),
					Out: Flow(2000, 9.1e18, 13.5, 98000.003),
				},
				UDP:         accounting.Traffic{In: Flow(99, 960, 0.5, 34), Out: Flow(200, 1000, 0.5, 211.0041)},
				RatesKnown:  true,
				Connections: accounting.Connections{Known: true, Established: 3, Addresses: 2},
			},
			{
				Port:       accounting.Port{Number: 20001, Protocols: accounting.OnlyUDP, Name: "bob é 漢"},
				RatesKnown: true,
			},
			{
				Port:        accounting.Port{Number: 65535, Protocols: accounting.OnlyTCP},
				TCP:         accounting.Traffic{Out: Flow(7, 7, 0, 1234567890.1234)},
				RatesKnown:  true,
				Connections: accounting.Connections{Known: true},
			},
		},
	}
}

// ManyPorts is a report of that many ports, all with rates.
func ManyPorts(number int) *accounting.Report {
	report := &accounting.Report{Time: Noon, Interval: time.Second}
	for i := range number {
		traffic := accounting.Traffic{
			In:  Flow(uint64(i), uint64(i)*1000, 12345.678, 1234567.891),
			Out: Flow(uint64(i), uint64(i)*2000, 12345.678, 2345678.912),
		}
		report.Ports = append(report.Ports, accounting.PortReport{
			Port:       accounting.Port{Number: uint16(i + 1), Protocols: accounting.TCPAndUDP, Name: "client"},
			TCP:        traffic,
			UDP:        traffic,
			RatesKnown: true,
		})
	}
	return report
}
