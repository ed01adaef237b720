package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/prometheus"
)

// tick ends an interval and publishes it.
func (a *agent) tick(ctx context.Context) {
	report, err := a.meter.Tick()
	if !errors.Is(err, accounting.ErrNoTable) && !errors.Is(err, accounting.ErrRestored) { // the repair is logged
		a.readFault.Log(a.Log, err, "the counters can't be read", "the counters are read again")
	}
	a.limits.check(ctx, a.meter.Status().LastSave)
	a.checkAddresses(report)
	state, rates := status(report, errors.Join(err, a.meter.Status().RepairError))
	a.notifier.Tick(time.Now(), a.settings.Interval, state, rates)
	a.restoreSockets()
	a.writeTextfile(ctx, err)
	a.writeCSV(report, err)
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

// checkAddresses logs the ports whose number of addresses has crossed the limit.
// The report is nil if the tick failed.
func (a *agent) checkAddresses(report *accounting.Report) {
	if report == nil {
		return
	}
	for _, change := range a.addresses.Changed(report) {
		attributes := []any{"port", change.Port.Number, "client", change.Port.Name, "addresses", change.Addresses, "limit", change.Limit}
		if change.Over {
			a.Log.Warn("more addresses than the limit are connected to a port", attributes...)
		} else {
			a.Log.Info("no more addresses than the limit are connected to a port", attributes...)
		}
	}
}

// openFiles removes the files of an earlier run, and prepares those of this one.
func (a *agent) openFiles(metrics *prometheus.Metrics) {
	if a.csv != nil {
		if err := a.csv.RemoveStale(); err != nil {
			a.Log.Warn("the CSV file of an earlier run can't be removed", "error", err)
		}
	}
	if a.settings.Textfile != "" {
		a.textfile = prometheus.NewFile(a.settings.Textfile, metrics)
		if err := a.textfile.RemoveStale(); err != nil {
			a.Log.Warn("the textfile of an earlier run can't be removed", "error", err)
		}
	}
}

// writeCSV writes the rates of a tick, or removes them if it failed.
func (a *agent) writeCSV(report *accounting.Report, tickErr error) {
	switch {
	case a.csv == nil:
	case tickErr != nil:
		_ = a.csv.Remove() // its rates are out of date; the next write reports any failure
	default:
		a.csvFault.Log(a.Log, a.csv.Write(report), "the CSV file can't be written", "the CSV file is written again")
	}
}

// writeTextfile writes the metrics of a tick, without the totals if it failed or they
// can't be saved. Between two saves the file keeps the totals of the last one.
func (a *agent) writeTextfile(ctx context.Context, tickErr error) {
	if a.textfile == nil {
		return
	}
	report := a.meter.Report() // what is read after it may not be saved
	dirty := a.meter.Dirty()
	switch {
	case tickErr != nil || dirty && a.meter.Status().LastSaveError != nil:
		report = nil
	case dirty:
		return
	default:
		a.connections.Complete(report)
	}
	a.textfileFault.Log(a.Log, a.textfile.Write(ctx, report), "the textfile can't be written", "the textfile is written again")
}
