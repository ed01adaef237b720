package agent

import (
	"context"
	"log/slog"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// limitCheck logs the clients that exceed their monthly limit.
type limitCheck struct {
	limits  usage.Limits
	log     *slog.Logger
	watch   *usage.LimitWatch
	month   *monthUsage
	checked time.Time // when the usage of the last check was saved
	fault   accounting.Fault
}

// begin remembers who is over the limit already. It is called before the first
// reading.
func (l *limitCheck) begin(ctx context.Context) {
	var saved *usage.Records
	if l.limits.Any() {
		saved, _ = l.month.query(ctx) // fails before the first save
	}
	l.watch = usage.NewLimitWatch(l.limits, saved)
}

// check looks at the usage if it was saved since the last check.
func (l *limitCheck) check(ctx context.Context, saved time.Time) {
	if !l.limits.Any() || saved.Equal(l.checked) {
		return
	}
	l.checked = saved
	months, err := l.month.query(ctx)
	l.fault.Log(l.log, err, "the usage can't be compared with the limits", "the usage is compared with the limits again")
	if err != nil {
		return
	}
	for _, state := range l.watch.Crossed(months) {
		l.log.Warn("a client has used more than its monthly limit",
			"client", state.Client, "used_bytes", state.Used, "limit_bytes", state.Limit, "month_began", state.Start.Format(time.DateOnly))
	}
}
