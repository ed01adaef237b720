package agent

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/health"
	"ssmonitor/internal/throttle"
	"ssmonitor/output/api"
)

const (
	// minReadGap is the shortest time between two readings for requests.
	minReadGap = 200 * time.Millisecond
	// readShare bounds how much of the time clients can make the meter read: one part in
	// readShare. Where there are many ports, a reading takes long.
	readShare = 5
)

// readings are the reports for requests: the totals with who is connected, and the usage of
// the month. Requests that
// arrive while the counters are read share the reading, however many there are. Requests
// that arrive soon after it get the totals as they are. It is safe for concurrent use.
type readings struct {
	meter       *accounting.Meter
	connections *connections.Meter
	month       *monthUsage
	board       *health.Board
	interval    time.Duration
	now         func() time.Time

	flight singleflight.Group
	// The fields below are used only inside the flight.
	gap throttle.Gap
	err error // of the last reading
}

func newReadings(meter *accounting.Meter, connections *connections.Meter, month *monthUsage, board *health.Board, interval time.Duration) *readings {
	return &readings{
		meter: meter, connections: connections, month: month, board: board, interval: interval, now: time.Now,
		gap: throttle.Gap{Least: minReadGap, Share: readShare},
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

// SavedReport is Report with totals that are saved.
func (r *readings) SavedReport(ctx context.Context) (*accounting.Report, error) {
	report, err := r.Report(ctx)
	if err == nil {
		err = r.meter.Save()
	}
	if err != nil {
		return nil, err
	}
	return report, nil
}

// freshHistory is the usage up to the moment in which somebody asks.
type freshHistory struct {
	usage.History
	readings *readings
}

// View reads the counters first. If that fails, the usage is that of the last reading.
func (h freshHistory) View(ctx context.Context, read func(usage.Snapshot) error) error {
	_, _ = h.readings.Report(ctx)
	return h.History.View(ctx, read)
}

// unsaved returns what is not saved yet, as freshHistory has it, for a process that reads
// the ledger itself.
func (a *agent) unsaved(ctx context.Context) (*api.Unsaved, error) {
	_, _ = a.readings.Report(ctx)
	return &api.Unsaved{Ledger: a.ledger.Identity(), Unsaved: a.meter.Unsaved()}, nil
}

// Status returns the state of the meter.
func (r *readings) Status() accounting.Status { return r.meter.Status() }

// Month returns the usage of the running month by client, as it was read a while ago.
func (r *readings) Month(ctx context.Context) (*usage.Month, error) { return r.month.latest(ctx) }

// Problems returns what the agent knows to be wrong.
func (r *readings) Problems() []health.Problem { return r.board.Problems() }

// Health returns the state of the agent's own readings, and its problems.
func (r *readings) Health() api.Health {
	status := r.meter.Status()
	return api.Health{
		LastRead: status.LastRead, Interval: r.interval,
		Err: errors.Join(status.LastError, status.RepairError), Problems: r.Problems(),
	}
}
