package agent

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/internal/throttle"
	"ssmonitor/output/api"
)

const (
	// minReadGap is the shortest time between two readings for requests.
	minReadGap = 200 * time.Millisecond
	// readShare is how much of the time clients can make the meter read: one part. Where
	// there are many ports, a reading takes long.
	readShare = 5
)

// readings are the reports for requests: the totals with who is connected. Requests that
// arrive while the counters are read share the reading, however many there are. Requests
// that arrive soon after it get the totals as they are. It is safe for concurrent use.
type readings struct {
	meter       *accounting.Meter
	connections *connections.Meter
	interval    time.Duration
	now         func() time.Time

	flight singleflight.Group
	// The fields below are used only inside the flight.
	gap throttle.Gap
	err error // of the last reading
}

func newReadings(meter *accounting.Meter, connections *connections.Meter, interval time.Duration) *readings {
	return &readings{
		meter: meter, connections: connections, interval: interval, now: time.Now,
		gap: throttle.Gap{Least: minReadGap, Times: readShare},
	}
}

// Report returns the current totals. If a client disconnects, or its ctx ends, the
// reading goes on for the others.
func (r *readings) Report(ctx context.Context) (*accounting.Report, error) {
	result := r.flight.DoChan("", func() (any, error) {
		r.gap.Do(r.now, func() { r.err = r.meter.Read() })
		if r.err != nil {
			return nil, r.err
		}
		report := r.meter.Report()
		r.connections.Complete(report)
		return report, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case reading := <-result:
		report, _ := reading.Val.(*accounting.Report)
		return report, reading.Err
	}
}

// Health returns the state of the agent's own readings.
func (r *readings) Health() api.Health {
	status := r.meter.Status()
	return api.Health{LastRead: status.LastRead, Interval: r.interval, Err: errors.Join(status.LastError, status.RepairError)}
}
