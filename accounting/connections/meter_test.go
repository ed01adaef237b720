package connections

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/testkit"
)

// crowd is who is connected, as a source with a clock.
type crowd struct {
	clock    time.Time
	takes    time.Duration // for a count
	err      error
	counted  int
	of       map[uint16]accounting.Connections
	reported []uint16 // the ports of the last count
}

func (c *crowd) now() time.Time { return c.clock }

func (c *crowd) Count(ports []uint16, reuse []accounting.Connections) ([]accounting.Connections, error) {
	c.counted++
	c.clock = c.clock.Add(c.takes)
	if c.err != nil {
		return nil, c.err
	}
	reuse, c.reported = reuse[:0], nil
	for _, port := range ports {
		connections := c.of[port]
		connections.Known = true
		reuse = append(reuse, connections)
		c.reported = append(c.reported, port)
	}
	return reuse, nil
}

func quietBoard() *health.Board { return health.NewBoard(time.Now, testkit.Quiet()) }

func newCrowd() *crowd {
	return &crowd{
		clock: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		of:    map[uint16]accounting.Connections{20000: {Established: 9, Addresses: 4}, 20001: {Established: 1, Addresses: 1}},
	}
}

// crowdReport is a report of alice, bob, one published port and one of UDP alone.
func crowdReport() *accounting.Report {
	return &accounting.Report{Ports: []accounting.PortReport{
		{Port: accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"}},
		{Port: accounting.Port{Number: 20001, Protocols: accounting.OnlyTCP, Name: "bob"}},
		{Port: accounting.Port{Number: 20002, Protocols: accounting.TCPAndUDP, Published: true}},
		{Port: accounting.Port{Number: 20003, Protocols: accounting.OnlyUDP}},
	}}
}

func connectionsOf(report *accounting.Report) []accounting.Connections {
	var all []accounting.Connections
	for _, port := range report.Ports {
		all = append(all, port.Connections)
	}
	return all
}

func TestMeterCompletesReports(t *testing.T) {
	known := []accounting.Connections{{Known: true, Established: 9, Addresses: 4}, {Known: true, Established: 1, Addresses: 1}, {}, {}}
	t.Run("known where visible", func(t *testing.T) {
		report, source := crowdReport(), newCrowd()
		NewMeter(source, source.now, quietBoard()).Complete(report)
		if got := connectionsOf(report); !slices.Equal(got, known) {
			t.Errorf("got %v, want %v", got, known)
		}
	})
	t.Run("no source", func(t *testing.T) {
		report := crowdReport()
		report.Ports[0].Connections = known[0]
		NewMeter(nil, nil, nil).Complete(report)
		if got := connectionsOf(report); !slices.Equal(got, make([]accounting.Connections, 4)) {
			t.Errorf("got %v, want nothing known", got)
		}
	})
	t.Run("the ports change while a count is shared", func(t *testing.T) {
		source := newCrowd()
		source.takes = time.Second
		meter := NewMeter(source, source.now, quietBoard())
		meter.Complete(crowdReport())
		report := &accounting.Report{Ports: []accounting.PortReport{
			{Port: accounting.Port{Number: 19999, Protocols: accounting.OnlyTCP}}, {Port: accounting.Port{Number: 20000, Protocols: accounting.OnlyUDP}},
			{Port: accounting.Port{Number: 20001, Protocols: accounting.OnlyTCP}}, {Port: accounting.Port{Number: 20003, Protocols: accounting.TCPAndUDP}},
		}}
		meter.Complete(report)
		if got, want := connectionsOf(report), []accounting.Connections{{}, {}, known[1], {}}; source.counted != 1 || !slices.Equal(got, want) {
			t.Errorf("counted %d times: got %v, want %v", source.counted, got, want)
		}
	})
}

// TestMeterSharesCounts checks that clients can't make it count for more
// than a fifth of the time.
func TestMeterSharesCounts(t *testing.T) {
	source := newCrowd()
	source.takes = 100 * time.Millisecond
	start := source.clock
	meter := NewMeter(source, source.now, quietBoard())
	for _, step := range []struct {
		at   time.Duration
		want int
	}{
		{0, 1}, {499 * time.Millisecond, 1}, {500 * time.Millisecond, 2}, {-time.Hour, 3},
	} {
		source.clock = start.Add(step.at)
		meter.Complete(crowdReport())
		if source.counted != step.want {
			t.Errorf("at %s: counted %d times, want %d", step.at, source.counted, step.want)
		}
	}
}

func TestMeterOutlivesFaults(t *testing.T) {
	var log bytes.Buffer
	source := newCrowd()
	meter := NewMeter(source, source.now, health.NewBoard(source.now, slog.New(slog.NewTextHandler(&log, nil))))
	complete := func() accounting.Connections {
		report := crowdReport()
		meter.Complete(report)
		return report.Ports[0].Connections
	}
	if got := complete(); !got.Known {
		t.Errorf("got %v, want known connections", got)
	}
	source.err = errors.New("no tcp_diag")
	for range 30 {
		if got := complete(); got != (accounting.Connections{}) {
			t.Errorf("got %v, want unknown", got)
		}
		source.clock = source.clock.Add(time.Second)
	}
	if source.counted != 1+3 {
		t.Errorf("tried %d times in 30 s, want 3", source.counted-1)
	}
	if got := strings.Count(log.String(), "can't be counted"); got != 1 {
		t.Errorf("got %d lines of the fault, want 1:\n%s", got, &log)
	}
	source.err = nil
	if got := complete(); !got.Known || !strings.Contains(log.String(), "counted again") {
		t.Errorf("got %v and the log\n%s", got, &log)
	}
}

func TestMeterAllocatesLittle(t *testing.T) {
	source := newCrowd()
	meter, report := NewMeter(source, source.now, quietBoard()), &accounting.Report{}
	for i := range 1000 {
		report.Ports = append(report.Ports, accounting.PortReport{Port: accounting.Port{Number: uint16(1 + i), Protocols: accounting.OnlyTCP, Name: "alice"}})
	}
	source.reported = make([]uint16, 0, 1000)
	meter.Complete(report)
	allocs := testing.AllocsPerRun(10, func() {
		source.clock = source.clock.Add(time.Second)
		meter.Complete(report)
	})
	if allocs > 20 { // those of the fake
		t.Errorf("%v allocations for 1,000 ports", allocs)
	}
}
