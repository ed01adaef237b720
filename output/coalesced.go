package output

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"

	"ssmonitor/accounting"
)

// Coalesced is a [Source] that limits how often another one is read, however
// many clients there are. Requests that arrive while a reading is in progress
// share it. Requests that arrive within the gap after its start get the same
// report. The gap grows with what a reading costs, so that clients can't make the
// agent read for more than a fifth of the time.
type Coalesced struct {
	Source
	minGap time.Duration
	now    func() time.Time

	flight singleflight.Group
	// The fields below are used only inside the flight.
	started time.Time
	cost    time.Duration // of the last reading
	report  *accounting.Report
	err     error
}

// readShare is how many times its own cost passes from the start of a reading to
// the next one.
const readShare = 5

// NewCoalesced coalesces the readings of source. At least minGap passes between
// the starts of two readings.
func NewCoalesced(source Source, minGap time.Duration, now func() time.Time) *Coalesced {
	return &Coalesced{Source: source, minGap: minGap, now: now}
}

// Report returns a reading that was started at most the gap ago. If a
// client disconnects, or its ctx ends, the reading goes on for the others.
func (c *Coalesced) Report(ctx context.Context) (*accounting.Report, error) {
	result := c.flight.DoChan("", func() (any, error) {
		now := c.now()
		if c.started.IsZero() || now.Sub(c.started) >= max(c.minGap, readShare*c.cost) {
			c.started = now
			c.report, c.err = c.Source.Report(context.WithoutCancel(ctx))
			c.cost = c.now().Sub(now)
		}
		return c.report, c.err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case reading := <-result:
		report, _ := reading.Val.(*accounting.Report)
		return report, reading.Err
	}
}
