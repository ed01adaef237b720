package usage

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// span is the time of a report, or a time as people write it: an instant, whose bounds are
// the same, or a whole day or month. A zero time is no bound.
type span struct{ since, until time.Time }

// The years that a moment may lie in. Their instants fit into nanoseconds.
const (
	firstYear = 1970
	lastYear  = 2200
)

var errMoment = errors.New("want a month (2026-11), a day (2026-11-24) or a time (2026-11-24T16:00 or 2026-11-24T16:00:00Z)")

// moment parses a month, a day, a local time or an RFC 3339 time.
func (c Calendar) moment(text string) (span, error) {
	date, clock, timed := cutClock(text)
	year, month, day, err := parseDate(date)
	switch {
	case err != nil:
		return span{}, err
	case timed && day == 0:
		return span{}, errMoment
	case timed:
		t, err := c.clock(date + "T" + clock)
		return span{t, t}, err
	case day > 0:
		return span{c.midnight(year, month, day), c.midnight(year, month, day+1)}, nil
	}
	return span{c.month(year, month), c.month(year, month+1)}, nil
}

func cutClock(text string) (date, clock string, found bool) {
	if i := strings.IndexAny(text, "Tt "); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// parseDate parses YYYY-MM, for which day is 0, or YYYY-MM-DD.
func parseDate(text string) (year int, month time.Month, day int, err error) {
	fields := strings.Split(text, "-")
	widths := [...]int{4, 2, 2}
	if len(fields) < 2 || len(fields) > 3 {
		return 0, 0, 0, errMoment
	}
	var numbers [3]int
	for i, field := range fields {
		number, err := strconv.ParseUint(field, 10, 16)
		if err != nil || len(field) != widths[i] {
			return 0, 0, 0, errMoment
		}
		numbers[i] = int(number)
	}
	year, month, day = numbers[0], time.Month(numbers[1]), numbers[2]
	if year < firstYear || year > lastYear {
		return 0, 0, 0, fmt.Errorf("year %s: want %d to %d", fields[0], firstYear, lastYear)
	}
	if month < time.January || month > time.December {
		return 0, 0, 0, fmt.Errorf("month %s: want 01 to 12", fields[1])
	}
	days := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if len(fields) == 3 && (day < 1 || day > days) {
		return 0, 0, 0, fmt.Errorf("day %s: %s %d has %d days", fields[2], month, year, days)
	}
	return year, month, day, nil
}

// clock parses an RFC 3339 time, or a local time without an offset.
func (c Calendar) clock(text string) (time.Time, error) {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, strings.ToUpper(text), c.Zone); err == nil {
			return t.In(c.Zone), nil
		}
	}
	return time.Time{}, errMoment
}

// between parses --since and --until, which may be empty. The span includes the
// day or month that either of them names.
func (c Calendar) between(since, until string) (span, error) {
	var s span
	if since != "" {
		m, err := c.moment(since)
		if err != nil {
			return s, fmt.Errorf("since %q: %w", since, err)
		}
		s.since = m.since
	}
	if until != "" {
		m, err := c.moment(until)
		if err != nil {
			return s, fmt.Errorf("until %q: %w", until, err)
		}
		s.until = m.until
	}
	if since != "" && until != "" && !s.since.Before(s.until) {
		return s, fmt.Errorf("since %q is not before until %q", since, until)
	}
	return s, nil
}

// maxHours bounds --last: the hours of 100 years.
const maxHours = 100 * 366 * 24

var errLast = errors.New("want a number of hours, days, weeks, months or years, as in 24h, 7d, 4w, 3mo or 1y, or one of " + strings.Join(NamedTimes, ", "))

// NamedTimes are the times that --last takes by a name.
var NamedTimes = []string{"today", "yesterday", "week", "month"}

// named returns the time with the name: the day that runs, or the last day, week or month
// that is over.
func (c Calendar) named(name string, now time.Time) (s span, found bool) {
	switch name {
	case "today":
		return span{c.start(ByDay, now), c.next(ByDay, now)}, true
	case "yesterday":
		return span{c.add(ByDay, now, -1), c.start(ByDay, now)}, true
	case "week":
		return span{c.add(ByWeek, now, -1), c.start(ByWeek, now)}, true
	case "month":
		return span{c.add(ByMonth, now, -1), c.start(ByMonth, now)}, true
	}
	return span{}, false
}

// last parses --last: the current hour, day or month and those before it, so that
// 7d is today and the six days before. A name stands for a time that is over, but for today.
func (c Calendar) last(text string, now time.Time) (span, error) {
	if s, found := c.named(text, now); found {
		return s, nil
	}
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return span{}, fmt.Errorf("last %q: %w", text, errLast)
	}
	var by Period
	units, hours := 1, uint64(1)
	switch text[len(digits):] {
	case "h":
		by = ByHour
	case "d":
		by, hours = ByDay, 24
	case "w":
		by, units, hours = ByDay, 7, 7*24
	case "mo":
		by, hours = ByMonth, 31*24
	case "y":
		by, units, hours = ByMonth, 12, 366*24
	default:
		return span{}, fmt.Errorf("last %q: %w", text, errLast)
	}
	if n == 0 || n > maxHours/hours {
		return span{}, fmt.Errorf("last %q: want 1 to %d%s", text, maxHours/hours, text[len(digits):])
	}
	return span{c.add(by, now, 1-int(n)*units), c.next(by, now)}, nil
}

// widen moves the bounds outwards to the bounds of periods, so that a report
// shows whole periods.
func (c Calendar) widen(s span, by Period) span {
	if !s.since.IsZero() {
		s.since = c.start(by, s.since)
	}
	if !s.until.IsZero() {
		if start := c.start(by, s.until); start.Before(s.until) {
			s.until = c.next(by, s.until)
		}
	}
	return s
}
