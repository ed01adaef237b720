package unit

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

func TestNotifierSendsOnlyWhatIsNew(t *testing.T) {
	var sent []string
	n := &notifier{send: func(state string) { sent = append(sent, state) }, watchdog: 30 * time.Second}
	start := time.Unix(1e9, 0)
	steps := []struct {
		after        time.Duration // since the start
		state, rates string
		want         []string
	}{
		{0, "counting 3 ports", "", []string{"STATUS=counting 3 ports\nWATCHDOG=1"}},
		{2 * time.Second, "counting 3 ports", ", in 1 kbit/s", []string{"STATUS=counting 3 ports, in 1 kbit/s"}},
		{4 * time.Second, "counting 3 ports", ", in 2 kbit/s", nil},
		{14 * time.Second, "counting 3 ports", ", in 2 kbit/s", []string{"WATCHDOG=1"}},
		{16 * time.Second, "no rates: refused", "", []string{"STATUS=no rates: refused"}},
		{18 * time.Second, "counting 3 ports", ", in 2 kbit/s", []string{"STATUS=counting 3 ports, in 2 kbit/s"}},
		{26 * time.Second, "counting 3 ports", ", in 3 kbit/s", nil},
		{28 * time.Second, "counting 3 ports", ", in 3 kbit/s", []string{"WATCHDOG=1"}},
		{48 * time.Second, "counting 3 ports", ", in 2 kbit/s", []string{"WATCHDOG=1"}},
		{50 * time.Second, "counting 3 ports", ", in 3 kbit/s", []string{"STATUS=counting 3 ports, in 3 kbit/s"}},
	}
	for _, step := range steps {
		sent = nil
		n.tick(start.Add(step.after), 2*time.Second, step.state, step.rates)
		if !slices.Equal(sent, step.want) {
			t.Errorf("after %s: got %q, want %q", step.after, sent, step.want)
		}
	}
}

// TestNotifierIsNeverSilentForTooLong ticks with intervals around the watchdog's
// timeout.
func TestNotifierIsNeverSilentForTooLong(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 14 * time.Second, 15 * time.Second} {
		var now, last, longest time.Duration
		n := &notifier{send: func(string) { longest, last = max(longest, now-last), now }, watchdog: 30 * time.Second}
		for range 100 {
			n.tick(time.Unix(1e9, 0).Add(now), interval, "counting", "")
			now += interval
		}
		if longest > n.watchdog/2 {
			t.Errorf("at intervals of %s it was silent for %s, want at most %s", interval, longest, n.watchdog/2)
		}
		if ticks, _ := n.between(interval); ticks != nil {
			t.Errorf("at intervals of %s there is a timer for the watchdog as well", interval)
		}
	}
	n := &notifier{watchdog: 30 * time.Second}
	ticks, stop := n.between(16 * time.Second)
	defer stop()
	if ticks == nil {
		t.Error("at intervals of 16s there is no timer for the watchdog")
	}
}

func TestStatus(t *testing.T) {
	report := &accounting.Report{Interval: 2 * time.Second, Ports: make([]accounting.PortReport, 2)}
	report.Total.In.Rate.Bytes, report.Total.Out.Rate.Bytes = 1000, 125
	for _, test := range []struct {
		name         string
		report       *accounting.Report
		err          error
		state, rates string
	}{
		{"rates", report, nil, "counting 2 ports", ", in 8 kbit/s, out 1 kbit/s"},
		{"no rates yet", &accounting.Report{Ports: report.Ports[:1]}, nil, "counting 1 port", ""},
		{"no ports", &accounting.Report{}, nil, "no port to count yet: run ssmonitor setup", ""},
		// In sd_notify's protocol a second line would be another assignment.
		{"two errors", nil, errors.Join(errors.New("refused"), errors.New("WATCHDOG=trigger")), "no rates: refused", ""},
	} {
		if state, rates := status(test.report, test.err); state != test.state || rates != test.rates {
			t.Errorf("%s: got %q and %q, want %q and %q", test.name, state, rates, test.state, test.rates)
		}
	}
}

// unrepairable is the real table, except that it can't be verified.
type unrepairable struct{ *nft.Table }

func (unrepairable) Verify(accounting.Ports) ([]string, error) { return nil, syscall.ENOBUFS }

// TestTickSendsWhyNothingIsRepaired has a table that can be read.
func TestTickSendsWhyNothingIsRepaired(t *testing.T) {
	p := newPlace(t)
	p.setup()
	table := p.table()
	var sent string
	a := &agent{
		log: newLog(io.Discard), interval: time.Second, limits: &limitCheck{}, notifier: &notifier{send: func(state string) { sent += state }},
		meter: accounting.NewMeter(accounting.MeterOptions{Source: unrepairable{table}, Store: refusing{}, Log: newLog(io.Discard)}),
	}
	a.openSockets(nft.HookContainer) // none
	a.tick(t.Context())
	if want := "STATUS=no rates: " + syscall.ENOBUFS.Error(); sent != want {
		t.Errorf("got %q, want %q", sent, want)
	}
}
