package accounting

import (
	"slices"
	"time"
)

// interval is the last complete interval. Its report has the totals at its end,
// from which the next interval begins, and its rates.
type interval struct {
	end     time.Time // zero: the next interval has no rates
	report  Report
	earlier map[Key]Count // [Flow.Earlier] of the counters that have any
	read    []bool        // by place in report.Ports: whether all counters of the port were read at the end
}

// follow makes the report one of the ports.
func (l *interval) follow(ports Ports) {
	before, read := l.report.Ports, l.read
	l.report.Ports, l.read = make([]PortReport, len(ports)), make([]bool, len(ports))
	at := 0
	for i, port := range ports {
		for at < len(before) && before[at].Port.Number < port.Number {
			at++
		}
		if at < len(before) && before[at].Port.Number == port.Number && before[at].Port.Protocols == port.Protocols {
			l.report.Ports[i], l.read[i] = before[at], read[at]
		}
		l.report.Ports[i].Port = port
	}
}

// beginClient makes what was counted on a port so far that of earlier clients.
func (l *interval) beginClient(port uint16, ledger *Ledger) {
	if l.earlier == nil {
		l.earlier = make(map[Key]Count)
	}
	for slot := range keysPerPort {
		key := keyAt(port, slot)
		l.earlier[key], _ = ledger.Total(key)
	}
}

// next ends the interval at now and begins the next one. Rates are known for
// ports whose counters were read at both ends.
func (l *interval) next(now time.Time, ledger *Ledger) {
	l.report.Interval = 0
	if !l.end.IsZero() {
		l.report.Interval = now.Sub(l.end)
	}
	l.end = now
	for i := range l.report.Ports {
		p := &l.report.Ports[i]
		known := l.read[i] && l.report.Interval > 0
		l.read[i] = true
		for key, flow := range p.flows() {
			total, read := ledger.Total(key)
			flow.Rate = Rate{}
			if known {
				flow.Rate = perSecond(flow.Total, total, l.report.Interval)
			}
			flow.Total, flow.Earlier = total, l.earlier[key]
			l.read[i] = l.read[i] && read
		}
		p.RatesKnown = known && l.read[i]
	}
	l.report.finish(now, ledger)
}

// interrupt ends the interval at now without rates. The next one has none either.
func (l *interval) interrupt(now time.Time, ledger *Ledger) {
	l.forget()
	l.next(now, ledger)
	l.forget()
}

// forget makes the next interval one without rates.
func (l *interval) forget() {
	l.end, l.report.Interval = time.Time{}, 0
	clear(l.read)
	for i := range l.report.Ports {
		p := &l.report.Ports[i]
		p.RatesKnown = false
		for _, flow := range p.flows() {
			flow.Rate = Rate{}
		}
	}
}

// fresh returns a report with the ledger's totals and the rates of the interval.
func (l *interval) fresh(now time.Time, ledger *Ledger) *Report {
	report := l.report
	report.Ports = slices.Clone(l.report.Ports)
	for i := range report.Ports {
		for key, flow := range report.Ports[i].flows() {
			flow.Total, _ = ledger.Total(key)
			flow.Earlier = l.earlier[key]
		}
	}
	report.finish(now, ledger)
	return &report
}

// finish sets the time and the sums.
func (r *Report) finish(now time.Time, ledger *Ledger) {
	r.Time, r.Total = now, Traffic{}
	for i := range r.Ports {
		sum := r.Ports[i].Sum()
		r.Total.In.Rate = r.Total.In.Rate.Plus(sum.In.Rate)
		r.Total.Out.Rate = r.Total.Out.Rate.Plus(sum.Out.Rate)
	}
	r.Total.In.Total, r.Total.Out.Total = ledger.Sum()
}

func perSecond(before, after Count, length time.Duration) Rate {
	seconds := length.Seconds()
	return Rate{
		Packets: float64(after.Packets-before.Packets) / seconds,
		Bytes:   float64(after.Bytes-before.Bytes) / seconds,
	}
}
