package agent

import (
	"context"
	"log/slog"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/atomicfile"
	"ssmonitor/internal/health"
	"ssmonitor/output/csv"
	"ssmonitor/output/prometheus"
)

// watcher does something at the end of every interval: it writes a file, or logs. Another
// one is a type with this method, and a line in openWatchers.
type watcher interface {
	// observe gets the report of the interval, or why the counters can't be read. What
	// else was saved or counted, the watcher asks for.
	observe(ctx context.Context, report *accounting.Report, err error)
}

// openWatchers begins all watchers. It removes the files of an earlier run.
func (a *agent) openWatchers(metrics *prometheus.Metrics) {
	a.watchers = append(a.watchers, &usageWatcher{
		watch: usage.NewLimitWatch(a.settings.Warn, a.monthBefore), limits: a.warn, month: a.month, meter: a.meter, board: a.board, log: a.Log,
	})
	if a.sockets != nil {
		watch := connections.NewWatch(a.settings.Addresses, a.connections, nil)
		a.watchers = append(a.watchers, &addressWatcher{watch: watch, limits: a.addresses, log: a.Log})
	}
	if path := a.settings.Textfile; path != "" {
		file := prometheus.NewFile(path, metrics)
		a.keepFile("textfile", &file.Volatile)
		a.watchers = append(a.watchers, &textfileWatcher{file: file, meter: a.meter, connections: a.connections, board: a.board})
	}
	if path := a.settings.CSV; path != "" {
		file := csv.NewFile(path)
		a.keepFile("CSV file", &file.Volatile)
		a.watchers = append(a.watchers, &csvWatcher{file: file, board: a.board})
	}
}

// keepFile has close remove the file. It removes the one of an earlier run.
func (a *agent) keepFile(what string, file *atomicfile.Volatile) {
	if err := file.RemoveStale(); err != nil {
		a.Log.Warn("the "+what+" of an earlier run can't be removed", "error", err)
	}
	a.closing = append(a.closing, file.Remove)
}

// usageWatcher logs the clients that exceed their monthly limit.
type usageWatcher struct {
	watch   *usage.LimitWatch
	limits  func() usage.Limits
	month   *monthUsage
	meter   *accounting.Meter
	board   *health.Board
	log     *slog.Logger
	checked attempt
}

// attempt identifies the last attempt to save.
type attempt struct {
	saved    time.Time
	failures uint64
}

// observe looks at the usage once per attempt to save it. What can't be saved counts as well.
func (w *usageWatcher) observe(ctx context.Context, _ *accounting.Report, _ error) {
	status, limits := w.meter.Status(), w.limits()
	last := attempt{status.LastSave, status.SaveFailures}
	if !limits.Any() || last == w.checked {
		return
	}
	w.checked = last
	month, err := w.month.query(ctx)
	w.board.Observe(health.Limits, err)
	if err != nil {
		return
	}
	w.watch.SetLimits(limits)
	for _, crossing := range w.watch.Check(month) {
		w.log.Warn("a client has used more than its monthly limit",
			"client", crossing.Client.Label(), "used_bytes", crossing.Used, "limit_bytes", crossing.Limit, "month_began", crossing.Month.Format(time.DateOnly))
	}
}

// addressWatcher logs the ports whose number of addresses has crossed the limit.
type addressWatcher struct {
	watch  *connections.Watch
	limits func() usage.Limits
	log    *slog.Logger
}

func (w *addressWatcher) observe(_ context.Context, report *accounting.Report, err error) {
	if err != nil {
		return
	}
	w.watch.SetLimits(w.limits())
	for _, crossing := range w.watch.Check(report) {
		attributes := []any{"port", crossing.Port, "client", crossing.Client.Name, "addresses", crossing.Used, "limit", crossing.Limit}
		if crossing.Over {
			w.log.Warn("more addresses than the limit are connected to a port", attributes...)
		} else {
			w.log.Info("no more addresses than the limit are connected to a port", attributes...)
		}
	}
}

// textfileWatcher keeps the metrics in the textfile, whose totals are saved.
type textfileWatcher struct {
	file        *prometheus.File
	meter       *accounting.Meter
	connections *connections.Meter
	board       *health.Board
}

// observe omits the totals if they can't be read or saved. Between two saves the file keeps
// those of the last one.
func (w *textfileWatcher) observe(ctx context.Context, _ *accounting.Report, err error) {
	report, notSaved := w.meter.SavedReport()
	switch {
	case err != nil || notSaved != nil:
		report = nil
	case report == nil:
		return
	default:
		w.connections.Complete(report)
	}
	w.board.Observe(health.Textfile, w.file.Write(ctx, report))
}

// csvWatcher keeps the rates of the last interval in the CSV file.
type csvWatcher struct {
	file  *csv.File
	board *health.Board
}

func (w *csvWatcher) observe(_ context.Context, report *accounting.Report, err error) {
	if err != nil {
		_ = w.file.Remove() // its rates are out of date; the next write reports any failure
		return
	}
	w.board.Observe(health.CSVFile, w.file.Write(report))
}
