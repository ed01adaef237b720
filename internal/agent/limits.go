package agent

import (
	"context"
	"log/slog"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// limitLog logs the clients that exceed their monthly limit.
type limitLog struct {
	watch   *usage.LimitWatch
	month   *monthUsage
	meter   *accounting.Meter
	log     *slog.Logger
	checked time.Time // when the usage of the last check was saved
	fault   accounting.Fault
}

// newLimitLog learns who is over the limit already, before the first reading.
func newLimitLog(ctx context.Context, limits usage.Limits, month *monthUsage, meter *accounting.Meter, log *slog.Logger) *limitLog {
	saved, _ := month.query(ctx) // fails before the first save
	return &limitLog{watch: usage.NewLimitWatch(limits, saved), month: month, meter: meter, log: log}
}

// publish looks at the usage if it was saved since the last look.
func (o *limitLog) publish(ctx context.Context, _ *accounting.Report, _ error) {
	saved := o.meter.Status().LastSave
	if saved.Equal(o.checked) {
		return
	}
	o.checked = saved
	month, err := o.month.query(ctx)
	o.fault.Log(o.log, err, "the usage can't be compared with the limits", "the usage is compared with the limits again")
	if err != nil {
		return
	}
	for _, crossing := range o.watch.Check(month) {
		o.log.Warn("a client has used more than its monthly limit",
			"client", crossing.Client.Label(), "used_bytes", crossing.Used, "limit_bytes", crossing.Limit, "month_began", crossing.Month.Format(time.DateOnly))
	}
}

func (*limitLog) withdraw() error { return nil }
