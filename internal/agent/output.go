package agent

import (
	"context"
	"log/slog"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/output/csv"
	"ssmonitor/output/prometheus"
)

// output is something that follows every interval. The loop knows no more of it: another
// one is a type with these two methods, and a line in openOutputs.
type output interface {
	// publish gets the report of the interval, or why the counters can't be read.
	publish(ctx context.Context, report *accounting.Report, err error)
	// withdraw removes what nobody may read while no agent runs.
	withdraw() error
}

// openOutputs begins the outputs. It removes the files of an earlier run.
func (a *agent) openOutputs(metrics *prometheus.Metrics) {
	if a.settings.Addresses.Any() {
		a.outputs = append(a.outputs, &addressLog{connections.NewWatch(a.settings.Addresses, a.connections, nil), a.Log})
	}
	if path := a.settings.Textfile; path != "" {
		file := prometheus.NewFile(path, metrics)
		if err := file.RemoveStale(); err != nil {
			a.Log.Warn("the textfile of an earlier run can't be removed", "error", err)
		}
		a.outputs = append(a.outputs, &textfileOutput{file: file, meter: a.meter, connections: a.connections, log: a.Log})
	}
	if path := a.settings.CSV; path != "" {
		file := csv.NewFile(path)
		if err := file.RemoveStale(); err != nil {
			a.Log.Warn("the CSV file of an earlier run can't be removed", "error", err)
		}
		a.outputs = append(a.outputs, &csvOutput{file: file, log: a.Log})
	}
}

// csvOutput keeps the rates of the last interval in the CSV file.
type csvOutput struct {
	file  *csv.File
	log   *slog.Logger
	fault accounting.Fault
}

func (o *csvOutput) publish(_ context.Context, report *accounting.Report, err error) {
	if err != nil {
		_ = o.file.Remove() // its rates are out of date; the next write reports any failure
		return
	}
	o.fault.Log(o.log, o.file.Write(report), "the CSV file can't be written", "the CSV file is written again")
}

func (o *csvOutput) withdraw() error { return o.file.Remove() }

// textfileOutput keeps the metrics in the textfile, whose totals are saved.
type textfileOutput struct {
	file        *prometheus.File
	meter       *accounting.Meter
	connections *connections.Meter
	log         *slog.Logger
	fault       accounting.Fault
}

// publish omits the totals if they can't be read or saved. Between two saves the file keeps
// those of the last one.
func (o *textfileOutput) publish(ctx context.Context, _ *accounting.Report, err error) {
	report, notSaved := o.meter.SavedReport()
	switch {
	case err != nil || notSaved != nil:
		report = nil
	case report == nil:
		return
	default:
		o.connections.Complete(report)
	}
	o.fault.Log(o.log, o.file.Write(ctx, report), "the textfile can't be written", "the textfile is written again")
}

func (o *textfileOutput) withdraw() error { return o.file.Remove() }

// addressLog logs the ports whose number of addresses has crossed the limit.
type addressLog struct {
	watch *connections.Watch
	log   *slog.Logger
}

func (o *addressLog) publish(_ context.Context, report *accounting.Report, err error) {
	if err != nil {
		return
	}
	for _, crossing := range o.watch.Check(report) {
		attributes := []any{"port", crossing.Port, "client", crossing.Client.Name, "addresses", crossing.Used, "limit", crossing.Limit}
		if crossing.Over {
			o.log.Warn("more addresses than the limit are connected to a port", attributes...)
		} else {
			o.log.Info("no more addresses than the limit are connected to a port", attributes...)
		}
	}
}

func (*addressLog) withdraw() error { return nil }
