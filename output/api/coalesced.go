package api

import (
	"context"
	"time"
	"weak"

	"golang.org/x/sync/singleflight"

	"ssmonitor/accounting"
)

// Coalesced is a [Source] that limits how often another one is read, however
// many clients there are. Requests that arrive while a reading is in progress
// share it. Requests that arrive within the minimum gap after its start get the
// same report.
type Coalesced struct {
	Source
	minGap time.Duration
	now    func() time.Time

	flight singleflight.Group
	// The fields below are used only inside the flight.
	started time.Time
	report  weak.Pointer[accounting.Report] // a report of many ports is large: it is kept only while clients read it
	err     error
}

// NewCoalesced coalesces the readings of source. At least minGap passes between
// the starts of two readings.
func NewCoalesced(source Source, minGap time.Duration, now func() time.Time) *Coalesced {
	return &Coalesced{Source: source, minGap: minGap, now: now}
}

// Report returns a reading that was started at most the minimum gap ago. If a
// client disconnects, or its ctx ends, the reading goes on for the others.
func (c *Coalesced) Report(ctx context.Context) (*accounting.Report, error) {
	result := c.flight.DoChan("", func() (any, error) {
		now := c.now()
		report := c.report.Value()
		if c.started.IsZero() || now.Sub(c.started) >= c.minGap || (report == nil && c.err == nil) {
			c.started = now
			report, c.err = c.Source.Report(context.WithoutCancel(ctx))
			c.report = weak.Make(report)
		}
		return report, c.err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case reading := <-result:
		report, _ := reading.Val.(*accounting.Report)
		return report, reading.Err
	}
}
