package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
)

// tick ends an interval.
func (a *agent) tick(ctx context.Context) {
	report, err := a.meter.Tick()
	if !errors.Is(err, accounting.ErrNoTable) && !errors.Is(err, accounting.ErrRestored) { // the repair is logged
		a.readFault.Log(a.Log, err, "the counters can't be read", "the counters are read again")
	}
	state, rates := status(report, errors.Join(err, a.meter.Status().RepairError))
	a.notifier.Tick(time.Now(), a.settings.Interval, state, rates)
	a.restoreSockets() // in whose directory files may be written, too
	for _, w := range a.watchers {
		w.observe(ctx, report, err)
	}
}

// status returns the two parts of the line that `systemctl status` shows.
func status(report *accounting.Report, err error) (state, rates string) {
	switch {
	case err != nil:
		line, _, _ := strings.Cut(terminal.Error(err), "\n")
		return "no rates: " + line, ""
	case len(report.Ports) == 0:
		return "no port to count yet: run ssmonitor setup", ""
	}
	state = "counting " + terminal.Count(len(report.Ports), "port")
	if report.Interval > 0 {
		rates = fmt.Sprintf(", in %.0f kbit/s, out %.0f kbit/s", report.Total.In.Rate.Bytes*8/1000, report.Total.Out.Rate.Bytes*8/1000)
	}
	return state, rates
}
