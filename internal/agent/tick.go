package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/terminal"
)

// work runs a step of the loop that changes or reads the table or the ledger, which takes
// seconds for thousands of ports. Meanwhile their progress is a sign of life.
func (a *agent) work(step func()) {
	a.working.Store(true)
	defer a.working.Store(false)
	a.progress()
	step()
	a.progress()
}

// progress is a sign of life of the loop, which works or waits for a reader who does.
// Otherwise it is none, or readers would keep an agent alive whose loop is stuck.
func (a *agent) progress() {
	if a.working.Load() {
		a.notifier.Progress(time.Now())
	}
}

// tick ends an interval.
func (a *agent) tick(ctx context.Context) {
	var report *accounting.Report
	var err error
	a.work(func() { report, err = a.meter.Tick() })
	if !errors.Is(err, accounting.ErrNoTable) && !errors.Is(err, accounting.ErrRestored) { // the repair is logged
		a.board.Observe(health.Readings, err)
	}
	if err == nil && a.meter.Status().RepairError == nil {
		a.board.Observe(health.NewPorts, nil) // the meter has completed what failed
	}
	a.restoreSockets() // in whose directory files may be written, too
	for _, w := range a.watchers {
		w.observe(ctx, report, err)
	}
	state, rates := status(report, err, a.board.Problems())
	a.notifier.Tick(time.Now(), a.settings.Interval, state, rates)
}

// status returns the two parts of the line that `systemctl status` shows.
func status(report *accounting.Report, err error, problems []health.Problem) (state, rates string) {
	wrong := health.Summary(problems)
	switch {
	case wrong != "":
		return wrong, ""
	case err != nil: // that the table did not exist, which is repaired
		return "no rates: " + terminal.Line(err), ""
	case len(report.Ports) == 0:
		return "no port to count yet: run ssmonitor setup", ""
	}
	state = "counting " + terminal.Count(len(report.Ports), "port")
	if report.Interval > 0 {
		rates = fmt.Sprintf(", in %.0f kbit/s, out %.0f kbit/s", report.Total.In.Rate.Bytes*8/1000, report.Total.Out.Rate.Bytes*8/1000)
	}
	return state, rates
}
