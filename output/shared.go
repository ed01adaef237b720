package output

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"

	"ssmonitor/accounting"
)

// Shared is a [Feed] that bounds how often another one reads, however many
// clients ask: requests that come while a reading is under way share it, and
// those that come sooner after it than the minimum get the same report.
type Shared struct {
	Feed
	minimum time.Duration
	now     func() time.Time

	// What follows is touched only inside the one flight.
	flight  singleflight.Group
	started time.Time
	report  *accounting.Report
	err     error
}

// NewShared shares the readings of feed and begins a new one no sooner than
// minimum after the one before.
func NewShared(feed Feed, minimum time.Duration, now func() time.Time) *Shared {
	return &Shared{Feed: feed, minimum: minimum, now: now}
}

// Report returns a reading that is no older than the minimum. A client that
// goes away, or whose ctx ends, does not end the reading for the others.
func (s *Shared) Report(ctx context.Context) (*accounting.Report, error) {
	result := s.flight.DoChan("", func() (any, error) {
		now := s.now()
		if s.started.IsZero() || now.Sub(s.started) >= s.minimum {
			s.started = now
			s.report, s.err = s.Feed.Report(context.WithoutCancel(ctx))
		}
		return s.report, s.err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case answer := <-result:
		report, _ := answer.Val.(*accounting.Report)
		return report, answer.Err
	}
}
