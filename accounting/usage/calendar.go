package usage

import "time"

// Calendar divides time into the hours, days, weeks and months of a zone.
type Calendar struct {
	Zone     *time.Location
	MonthDay int // day on which a month begins, 1 to 28
}

// ZoneName returns the name of the zone for people, the same one for UTC whatever the host
// calls it. A zone without a name has that of its offset at a time.
func (c Calendar) ZoneName(at time.Time) string {
	name := c.Zone.String()
	short, offset := at.In(c.Zone).Zone()
	if name == "Local" || name == "" || short == "UTC" && offset == 0 {
		return short
	}
	return name
}

// Bounds returns the period that contains t: its first instant and the first one
// after it. A day on which clocks change has 23 or 25 hours. An hour in which
// they change by less than an hour ends at the change. A total begins and ends as an
// hour does.
func (c Calendar) Bounds(period Period, t time.Time) (start, end time.Time) {
	t = t.In(c.Zone)
	year, month, day := t.Date()
	switch period {
	case ByDay:
		return c.midnight(year, month, day), c.midnight(year, month, day+1)
	case ByWeek:
		monday := day - (int(t.Weekday())+6)%7
		return c.midnight(year, month, monday), c.midnight(year, month, monday+7)
	case ByMonth:
		if day < c.MonthDay {
			month--
		}
		return c.midnight(year, month, c.MonthDay), c.midnight(year, month+1, c.MonthDay)
	}
	return c.hour(t)
}

// start returns the first instant of the period that contains t.
func (c Calendar) start(by Period, t time.Time) time.Time {
	start, _ := c.Bounds(by, t)
	return start
}

// next returns the first instant of the period after the one that contains t.
func (c Calendar) next(by Period, t time.Time) time.Time {
	_, end := c.Bounds(by, t)
	return end
}

// add returns the start of the period that is n periods after the one that
// contains t.
func (c Calendar) add(by Period, t time.Time, n int) time.Time {
	start := c.start(by, t)
	year, month, day := start.Date()
	switch by {
	case ByDay:
		return c.midnight(year, month, day+n)
	case ByWeek:
		return c.midnight(year, month, day+7*n)
	case ByMonth:
		return c.month(year, month+time.Month(n))
	}
	return c.start(ByHour, start.Add(time.Duration(n)*time.Hour))
}

// month returns the first instant of the month that begins in the named one.
func (c Calendar) month(year int, month time.Month) time.Time {
	return c.midnight(year, month, c.MonthDay)
}

func (c Calendar) hour(t time.Time) (start, end time.Time) {
	seconds := time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	start = t.Add(-seconds)
	end = start.Add(time.Hour)
	first, next := t.ZoneBounds()
	if start.Before(first) {
		start = first
	}
	if !next.IsZero() && end.After(next) {
		end = next
	}
	return start, end
}

// midnight returns the first instant of a day. time.Date does not say which
// instant it returns where midnight occurs twice or, as in Cairo, not at all.
func (c Calendar) midnight(year int, month time.Month, day int) time.Time {
	const apart = 36 * time.Hour // longer than any change of a zone's offset
	wall := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	before, after := wall.Add(-apart).In(c.Zone), wall.Add(apart).In(c.Zone)
	_, offset := before.Zone()
	start := wall.Add(-time.Duration(offset) * time.Second).In(c.Zone)
	_, change := before.ZoneBounds()
	if change.IsZero() || change.After(after) || start.Before(change) {
		return start
	}
	_, offset = change.Zone()
	start = wall.Add(-time.Duration(offset) * time.Second).In(c.Zone)
	if start.Before(change) {
		return change
	}
	return start
}
