package usage

import "time"

// start returns the first instant of the period that contains t. The bounds of a
// total are those of hours.
func (c Calendar) start(by Period, t time.Time) time.Time {
	if by == ByTotal {
		by = ByHour
	}
	start, _ := c.Bounds(by, t)
	return start
}

// next returns the first instant of the period after the one that contains t.
func (c Calendar) next(by Period, t time.Time) time.Time { return c.add(by, t, 1) }

// add returns the start of the period that is n periods after the one that
// contains t.
func (c Calendar) add(by Period, t time.Time, n int) time.Time {
	start := c.start(by, t)
	year, month, day := start.Date()
	switch by {
	case ByDay:
		return c.midnight(year, month, day+n)
	case ByMonth:
		return c.month(year, month+time.Month(n))
	}
	return c.start(ByHour, start.Add(time.Duration(n)*time.Hour))
}

// month returns the first instant of the month that begins in the named one.
func (c Calendar) month(year int, month time.Month) time.Time {
	return c.midnight(year, month, c.MonthDay)
}
