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
	"ssmonitor/internal/throttle"
	"ssmonitor/output/prometheus"
)

func (a *agent) newMetrics() *prometheus.Metrics {
	return prometheus.NewMetrics(prometheus.Options{
		Source: savedReadings{a.readings, a.month}, Limits: a.settings.Warn, AddressLimits: a.settings.Addresses,
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

// savedReadings are what the metrics are made of. Their totals are saved.
type savedReadings struct {
	*readings
	month *monthUsage
}

func (r savedReadings) Report(ctx context.Context) (*accounting.Report, error) {
	report, err := r.readings.Report(ctx)
	if err == nil {
		err = r.meter.Save()
	}
	if err != nil {
		return nil, err
	}
	return report, nil
}

func (r savedReadings) Status() accounting.Status { return r.meter.Status() }

func (r savedReadings) Month(ctx context.Context) (*usage.Month, error) { return r.month.latest(ctx) }

// monthGap is how old the usage of the month may be in metrics. At 1,000 ports a
// query takes about 13 ms.
const monthGap = 10 * time.Second

// monthUsage is the usage of the running month by client. It is safe for
// concurrent use.
type monthUsage struct {
	calendar usage.Calendar
	history  usage.History
	now      func() time.Time

	mutex sync.Mutex
	gap   throttle.Gap
	usage *usage.Month
	err   error
}

// latest returns the usage as it was saved at most monthGap ago.
func (m *monthUsage) latest(ctx context.Context) (*usage.Month, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.gap.Do(m.now, func() { m.usage, m.err = m.query(ctx) })
	return m.usage, m.err
}

// query returns the usage as it was saved last.
func (m *monthUsage) query(ctx context.Context) (*usage.Month, error) {
	return usage.ThisMonth(ctx, m.history, m.calendar, m.now())
}
