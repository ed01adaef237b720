package agent

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/unit"
)

func TestStatus(t *testing.T) {
	report := &accounting.Report{Interval: 2 * time.Second, Ports: make([]accounting.PortReport, 2)}
	report.Total.In.Rate.Bytes, report.Total.Out.Rate.Bytes = 1000, 125
	for _, test := range []struct {
		name         string
		report       *accounting.Report
		err          error
		problems     []health.Problem
		state, rates string
	}{
		{"rates", report, nil, nil, "counting 2 ports", ", in 8 kbit/s, out 1 kbit/s"},
		{"no rates yet", &accounting.Report{Ports: report.Ports[:1]}, nil, nil, "counting 1 port", ""},
		{"no ports", &accounting.Report{}, nil, nil, "no port to count yet: run ssmonitor setup", ""},
		// In sd_notify's protocol a second line would be another assignment.
		{"two errors", nil, errors.Join(errors.New("refused"), errors.New("WATCHDOG=trigger")), nil, "no rates: refused; WATCHDOG=trigger", ""},
		{"a problem", report, nil, []health.Problem{{Message: "full"}}, "full: see ssmonitor check", ""},
		{"a note", report, nil, []health.Problem{{Level: health.Note, Message: "no connections"}}, "counting 2 ports", ", in 8 kbit/s, out 1 kbit/s"},
		{"problems", report, errors.New("refused"), []health.Problem{{Message: "full"}, {Message: "gone"}, {Message: "lost"}}, "full, and 2 more: see ssmonitor check", ""},
	} {
		if state, rates := status(test.report, test.err, test.problems); state != test.state || rates != test.rates {
			t.Errorf("%s: got %q and %q, want %q and %q", test.name, state, rates, test.state, test.rates)
		}
	}
}

// TestTickSendsWhyNothingIsRepaired has a table that can be read.
func TestTickSendsWhyNothingIsRepaired(t *testing.T) {
	var sent string
	a := newTestAgent(t, io.Discard, nil)
	table := openTable(t, a.settings.Ports...)
	a.notifier = &unit.Notifier{Send: func(state string) { sent += state }}
	a.meter = accounting.NewMeter(accounting.MeterOptions{Table: unrepairable{table}, Store: refusing{}, Log: a.Log, Board: a.board})
	a.openSockets()
	a.tick(t.Context())
	if want := "STATUS=the totals can't be saved; counting continues, and saving is tried again: no space left on device, and 1 more: see ssmonitor check"; sent != want {
		t.Errorf("got %q, want %q", sent, want)
	}
}

// TestHealthNamesWhyNothingIsRepaired has a table that can be read.
func TestHealthNamesWhyNothingIsRepaired(t *testing.T) {
	testkit.NetworkNamespace(t)
	board := health.NewBoard(time.Now, newLog(io.Discard))
	meter := accounting.NewMeter(accounting.MeterOptions{Table: unrepairable{openTable(t, accounting.Port{Number: 20000, Protocols: accounting.OnlyTCP})}, Log: newLog(io.Discard), Board: board})
	_, _ = meter.Tick()
	if err := meter.Status().LastError; err != nil {
		t.Fatal(err)
	}
	if got := newReadings(meter, nil, nil, board, 0).Health(); !errors.Is(got.Err, syscall.ENOBUFS) {
		t.Errorf("got %v, want %v", got.Err, syscall.ENOBUFS)
	}
}

// TestTextfileWhileSavesFail has a full disk under the totals: the textfile has no
// totals, which may be lost again, and says so.
func TestTextfileWhileSavesFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.prom")
	a := newTestAgent(t, io.Discard, func(s *settings.Settings) { s.Textfile = path })
	a.meter = accounting.NewMeter(accounting.MeterOptions{Table: openTable(t), Store: refusing{}, Log: a.Log, Board: a.board})
	a.openSockets()
	a.openWatchers(a.newMetrics())
	if err := a.meter.SetPorts(a.settings.Ports); err != nil {
		t.Fatal(err)
	}
	a.tick(t.Context())
	page, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(page), "\nssmonitor_save_success 0\n") || strings.Contains(string(page), "ssmonitor_port_bytes_total") {
		t.Errorf("got %v and\n%s", err, page)
	}
}

// TestReadersAreNoSignOfLife has readers ask while the loop does nothing, as if it were
// stuck, and then the loop tick.
func TestReadersAreNoSignOfLife(t *testing.T) {
	a := open(t, newTestAgent(t, io.Discard, nil))
	signs := 0
	a.notifier = &unit.Notifier{Send: func(string) { signs++ }, Watchdog: time.Nanosecond}
	if _, err := a.readings.SavedReport(t.Context()); err != nil {
		t.Fatal(err)
	}
	if signs > 0 {
		t.Errorf("a reader gives %d signs of life", signs)
	}
	a.tick(t.Context())
	if signs < 3 { // at the beginning and the end, and for each of the counters
		t.Errorf("a tick gives %d signs of life, want more", signs)
	}
}
