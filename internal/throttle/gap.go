package throttle

import "time"

// Gap bounds how often others can cause something that takes time, such as a reading of the
// kernel. From the start of one until the next is due, at least Least passes, and Share times as
// long as it took: so it takes at most one part in Share of the time. The zero value is due.
// Gap is not safe for concurrent use.
type Gap struct {
	Least time.Duration
	Share int

	started time.Time // zero: never
	took    time.Duration
}

// Do does the work if it is due, and reports whether it was. Work whose last start lies in
// the future, since the clock was set back, is due.
func (g *Gap) Do(now func() time.Time, work func()) (due bool) {
	start := now()
	age := start.Sub(g.started)
	if !g.started.IsZero() && age >= 0 && age < max(g.Least, time.Duration(g.Share)*g.took) {
		return false
	}
	g.started = start
	work()
	g.took = now().Sub(start)
	return true
}
