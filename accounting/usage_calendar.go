package accounting

import "time"

// calendar has the boundaries of periods in a zone, where a month begins on a
// day of its own.
type calendar struct {
	zone     *time.Location
	monthDay int // 1 to 28
}

// start returns the first instant of the period that contains t.
func (c calendar) start(by Period, t time.Time) time.Time {
	t = t.In(c.zone)
	year, month, day := t.Date()
	switch by {
	case ByDay:
		return c.day(year, month, day)
	case ByMonth:
		if start := c.month(year, month); !start.After(t) {
			return start
		}
		return c.month(year, month-1)
	}
	_, offset := t.Zone()
	local := t.Unix() + int64(offset)
	return time.Unix(local-modulo(local, 3600)-int64(offset), 0).In(c.zone)
}

// next returns the first instant of the period after the one that contains t.
func (c calendar) next(by Period, t time.Time) time.Time { return c.add(by, t, 1) }

// add returns the start of the period that is n periods after the one that
// contains t.
func (c calendar) add(by Period, t time.Time, n int) time.Time {
	start := c.start(by, t)
	year, month, day := start.Date()
	switch by {
	case ByDay:
		return c.day(year, month, day+n)
	case ByMonth:
		return c.month(year, month+time.Month(n))
	}
	return c.start(ByHour, start.Add(time.Duration(n)*time.Hour))
}

// month returns the first instant of the month that begins in the named one.
func (c calendar) month(year int, month time.Month) time.Time {
	return c.day(year, month, c.monthDay)
}

// day returns the first instant of a day. At a change of the clock midnight may
// not exist, or exist twice, and [time.Date] does not say which one it returns.
func (c calendar) day(year int, month time.Month, day int) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	var first time.Time
	for _, near := range [...]time.Time{midnight.AddDate(0, 0, -2), midnight.AddDate(0, 0, 2)} {
		_, offset := near.In(c.zone).Zone()
		t := midnight.Add(-time.Duration(offset) * time.Second).In(c.zone)
		if sameDate(t, midnight) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if first.IsZero() { // A zone that changed sides of the date line has skipped the day.
		_, first = time.Date(year, month, day-1, 12, 0, 0, 0, c.zone).ZoneBounds()
	}
	return first
}

func sameDate(a, b time.Time) bool {
	aYear, aMonth, aDay := a.Date()
	bYear, bMonth, bDay := b.Date()
	return aYear == bYear && aMonth == bMonth && aDay == bDay
}

// modulo is the remainder that is never negative.
func modulo(a, b int64) int64 { return (a%b + b) % b }
