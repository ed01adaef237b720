package accounting

import "time"

// interval is the last complete interval, to which the rates belong.
type interval struct {
	end    time.Time
	length time.Duration // 0: no rate is known
	totals map[Key]Count // at its end
	rates  map[Key]Rate
	spare  map[Key]Count // reused for the totals of the next interval
}

// next ends the interval at now and begins the next one.
func (l *interval) next(now time.Time, keys map[Key]bool, ledger *Ledger) {
	if l.totals == nil {
		l.totals, l.spare, l.rates = make(map[Key]Count), make(map[Key]Count), make(map[Key]Rate)
	}
	l.length = 0
	if !l.end.IsZero() {
		l.length = now.Sub(l.end)
	}
	clear(l.spare)
	clear(l.rates)
	for key := range keys {
		total, read := ledger.Total(key)
		if !read {
			continue
		}
		l.spare[key] = total
		if before, known := l.totals[key]; known && l.length > 0 {
			l.rates[key] = perSecond(before, total, l.length)
		}
	}
	l.totals, l.spare, l.end = l.spare, l.totals, now
}

func perSecond(before, after Count, length time.Duration) Rate {
	seconds := length.Seconds()
	return Rate{
		Packets: float64(after.Packets-before.Packets) / seconds,
		Bytes:   float64(after.Bytes-before.Bytes) / seconds,
	}
}

// reset discards the interval. The next call of next begins one without rates.
func (l *interval) reset() {
	clear(l.totals)
	clear(l.rates)
	l.end, l.length = time.Time{}, 0
}
