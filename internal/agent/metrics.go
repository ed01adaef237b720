package agent

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/serving"
	"ssmonitor/output/api"
	"ssmonitor/output/prometheus"
)

func (a *agent) newMetrics() *prometheus.Metrics {
	saved := api.NewCoalesced(savedSource{meterSource{a.meter, a.connections, a.settings.Interval}}, prometheus.Gap, time.Now)
	return prometheus.NewMetrics(prometheus.Options{
		Source: metricsSource{saved, a.meter, a.month}, Limits: a.settings.Warn, AddressLimits: a.settings.Addresses,
		Interval: a.settings.Interval, Names: a.settings.MetricsNames, Version: a.Version,
	})
}

// serveMetrics serves metrics on a listener that may be reachable over the
// network.
func (a *agent) serveMetrics(ctx context.Context, listener net.Listener, web *serving.WebConfig, metrics http.Handler) {
	if missing := web.Exposure(listener); missing != "" {
		content := "the names and traffic of the clients"
		if !a.settings.MetricsNames {
			content = "the traffic of every port"
		}
		a.Log.Warn("metrics, with "+content+", are served to other hosts without "+missing+
			": add it with --web-config, or listen on 127.0.0.1", "address", listener.Addr().String())
	}
	a.serveBy(ctx, web, listener, metrics)
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
	history  usage.Source
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
