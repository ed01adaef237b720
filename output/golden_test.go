package output

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with the file of that name in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(string(want), got); difference != "" {
		t.Errorf("%s differs (-want +got); see the change and run go test -update:\n%s", name, difference)
	}
}

// skip says what is missing. In CI nothing may be.
func skip(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if condition() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("not within 10 s: " + what)
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
				UDP:   accounting.Traffic{In: flow(99, 960, 0.5, 34), Out: flow(200, 1000, 0.5, 211.0041)},
				Rated: true,
			},
			{
				Port:  accounting.Port{Number: 20001, Protocols: accounting.OnlyUDP, Name: "bob é 漢"},
				Rated: true,
			},
			{
				Port:  accounting.Port{Number: 65535, Protocols: accounting.OnlyTCP},
				TCP:   accounting.Traffic{Out: flow(7, 7, 0, 1234567890.1234)},
				Rated: true,
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
