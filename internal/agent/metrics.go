package agent

import (
	"context"
	"sync"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/throttle"
	"ssmonitor/output/prometheus"
)

func (a *agent) newMetrics() *prometheus.Metrics {
	return prometheus.NewMetrics(prometheus.Options{
		Source: a.readings, Limits: a.warn, AddressLimits: a.addresses,
		Interval: a.settings.Interval, Names: a.settings.MetricsNames, Version: a.Version,
	})
}

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

// latest returns the usage as it was read at most monthGap ago.
func (m *monthUsage) latest(ctx context.Context) (*usage.Month, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.gap.Do(m.now, func() { m.usage, m.err = m.query(ctx) })
	return m.usage, m.err
}

// query returns the usage as it was read last.
func (m *monthUsage) query(ctx context.Context) (*usage.Month, error) {
	return usage.ThisMonth(ctx, m.history, m.calendar, m.now())
}
