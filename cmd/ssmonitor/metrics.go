package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/serving"
	"ssmonitor/output/api"
	"ssmonitor/output/prometheus"
)

// The values of --metrics-names.
const (
	namesYes = "yes"
	namesNo  = "no"
)

// metricsOptions are the flags that concern metrics.
type metricsOptions struct {
	web      *serving.WebConfig // nil: neither TLS nor passwords
	names    bool
	textfile string // empty: none
}

func parseMetricsNames(text string) (names bool, err error) {
	if text != namesYes && text != namesNo {
		return false, &accounting.InvalidError{Name: "metrics-names", Text: text, Want: "yes or no"}
	}
	return text == namesYes, nil
}

func newMetricsOptions(c *cli.Context) (options metricsOptions, err error) {
	if options.names, err = parseMetricsNames(c.String("metrics-names")); err != nil {
		return options, wrongUsage(err)
	}
	if path := c.String("web-config"); path != "" {
		if options.web, err = serving.OpenWebConfig(path); err != nil {
			return options, wrongUsage(err)
		}
	}
	options.textfile = c.String("textfile")
	return options, nil
}

func (a *agent) newMetrics() *prometheus.Metrics {
	saved := api.NewCoalesced(savedSource{meterSource{a.meter, a.connections, a.interval}}, prometheus.Gap, time.Now)
	return prometheus.NewMetrics(prometheus.Options{
		Source: metricsSource{saved, a.meter, a.month}, Limits: a.limits.limits, AddressLimits: a.addressLimits, Interval: a.interval,
		Names: a.metrics.names, Version: version(),
	})
}

// serveFunc is [output.Serve] or the method of that name of a web configuration.
type serveFunc func(context.Context, net.Listener, http.Handler, *slog.Logger) error

// serveMetrics serves metrics on a listener that may be reachable over the
// network.
func (a *agent) serveMetrics(ctx context.Context, listener net.Listener, metrics http.Handler) {
	if missing := a.metrics.web.Exposure(listener); missing != "" {
		content := "the names and traffic of the clients"
		if !a.metrics.names {
			content = "the traffic of every port"
		}
		a.log.Warn("metrics, with "+content+", are served to other hosts without "+missing+
			": add it with --web-config, or listen on 127.0.0.1", "address", listener.Addr().String())
	}
	serve := serveFunc(serving.Serve)
	if a.metrics.web != nil {
		serve = a.metrics.web.Serve
	}
	a.serveBy(ctx, serve, listener, metrics)
}

// openTextfile prepares the file of --textfile.
func (a *agent) openTextfile(metrics *prometheus.Metrics) {
	if a.metrics.textfile == "" {
		return
	}
	a.textfile = prometheus.NewFile(a.metrics.textfile, metrics)
	if err := a.textfile.RemoveStale(); err != nil {
		a.log.Warn("the textfile of an earlier run can't be removed", "error", err)
	}
}

// writeTextfile writes the metrics of a tick. The report is nil if the tick
// failed.
func (a *agent) writeTextfile(ctx context.Context, report *accounting.Report) {
	if a.textfile == nil {
		return
	}
	if !a.meter.Saved() {
		if report != nil && a.meter.Status().LastSaveError == nil {
			return // the file has the totals of the last save until the next one
		}
		report = nil
	}
	if report != nil {
		// The meter keeps its report for the next interval.
		own := *report
		own.Ports = slices.Clone(report.Ports)
		a.connections.Complete(&own)
		report = &own
	}
	err := a.textfile.Write(ctx, report)
	switch a.textfileFault.Observe(err) {
	case accounting.FaultRaised:
		a.log.Error("the textfile can't be written", "error", err)
	case accounting.FaultCleared:
		a.log.Info("the textfile is written again")
	}
}

// savedSource is the meter as a source of totals that are saved.
type savedSource struct{ meterSource }

func (s savedSource) Report(context.Context) (*accounting.Report, error) {
	return s.complete(s.meter.RefreshSaved())
}

// metricsSource is the agent as the source of its metrics.
type metricsSource struct {
	*api.Coalesced
	meter *accounting.Meter
	month *monthUsage
}

func (s metricsSource) Status() accounting.Status { return s.meter.Status() }

func (s metricsSource) Month(ctx context.Context) (*usage.Records, error) {
	return s.month.get(ctx, s.month.now().Add(-monthGap))
}

// monthGap is how old the usage of the month may be in metrics. At 1,000 ports a
// query takes about 13 ms.
const monthGap = 10 * time.Second

// monthUsage is the usage of the running month by client. It is safe for
// concurrent use.
type monthUsage struct {
	calendar usage.Calendar
	history  history
	now      func() time.Time

	mutex sync.Mutex
	read  time.Time // when the last query began
	usage *usage.Records
	err   error
}

// get returns the usage as it was saved at notBefore or later.
func (m *monthUsage) get(ctx context.Context, notBefore time.Time) (*usage.Records, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	now := m.now()
	if m.read.IsZero() || m.read.Before(notBefore) || m.read.After(now) {
		start, _ := m.calendar.Bounds(usage.ByMonth, now)
		m.read = now
		m.usage, m.err = m.history.Usage(ctx, usage.Query{By: usage.ByMonth, Since: start})
	}
	return m.usage, m.err
}
