package usage

import (
	"testing"
	"time"
)

func TestCalendarBounds(t *testing.T) {
	tests := []struct {
		name       string
		zone       string
		monthDay   int
		period     Period
		at         string // RFC 3339
		start, end string
	}{
		{"an hour", "UTC", 1, ByHour, "2026-11-24T13:59:59Z", "2026-11-24T13:00:00Z", "2026-11-24T14:00:00Z"},
		{"its first instant", "UTC", 1, ByHour, "2026-11-24T13:00:00Z", "2026-11-24T13:00:00Z", "2026-11-24T14:00:00Z"},
		{"an hour in Iran", "Asia/Tehran", 1, ByHour, "2026-11-24T13:10:00Z", "2026-11-24T12:30:00Z", "2026-11-24T13:30:00Z"},
		{"an hour before 1970", "Asia/Kolkata", 1, ByHour, "1969-12-31T10:00:00Z", "1969-12-31T09:30:00Z", "1969-12-31T10:30:00Z"},
		{"an hour in Nepal", "Asia/Kathmandu", 1, ByHour, "2026-11-24T13:10:00Z", "2026-11-24T12:15:00Z", "2026-11-24T13:15:00Z"},
		{"a day in Iran", "Asia/Tehran", 1, ByDay, "2026-11-24T20:29:59Z", "2026-11-23T20:30:00Z", "2026-11-24T20:30:00Z"},
		{"a week from its Sunday", "UTC", 1, ByWeek, "2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"a week from its Monday", "UTC", 15, ByWeek, "2026-11-30T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"},
		{"a week with a change", "Europe/Berlin", 1, ByWeek, "2026-10-25T22:59:59Z", "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a month in Nepal", "Asia/Kathmandu", 1, ByMonth, "2026-11-30T18:15:00Z", "2026-11-30T18:15:00Z", "2026-12-31T18:15:00Z"},
		{"a day of 23 hours", "Europe/Berlin", 1, ByDay, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "Europe/Berlin", 1, ByDay, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"the hour that occurs twice, first", "Europe/Berlin", 1, ByHour, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"the hour that occurs twice, second", "Europe/Berlin", 1, ByHour, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"a month with a change", "Europe/Berlin", 1, ByMonth, "2026-10-15T00:00:00Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"},
		{"a change of half an hour: before", "Australia/Lord_Howe", 1, ByHour, "2026-04-04T14:45:00Z", "2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"},
		{"a change of half an hour: after", "Australia/Lord_Howe", 1, ByHour, "2026-04-04T15:10:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"},
		{"a midnight that does not occur", "Africa/Cairo", 1, ByDay, "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"the day before it", "Africa/Cairo", 1, ByDay, "2026-04-23T12:00:00Z", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z"},
		{"a midnight that occurs twice", "America/Havana", 1, ByDay, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"a day that does not occur", "Pacific/Apia", 1, ByDay, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"a month that begins on the 15th", "UTC", 15, ByMonth, "2026-03-14T23:59:59Z", "2026-02-15T00:00:00Z", "2026-03-15T00:00:00Z"},
		{"its first instant", "UTC", 15, ByMonth, "2026-03-15T00:00:00Z", "2026-03-15T00:00:00Z", "2026-04-15T00:00:00Z"},
		{"over the turn of the year", "UTC", 28, ByMonth, "2026-01-05T00:00:00Z", "2025-12-28T00:00:00Z", "2026-01-28T00:00:00Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start, end := Calendar{mustZone(t, test.zone), test.monthDay}.Bounds(test.period, mustTime(t, test.at))
			if got := start.UTC().Format(time.RFC3339); got != test.start {
				t.Errorf("got start %s, want %s", got, test.start)
			}
			if got := end.UTC().Format(time.RFC3339); got != test.end {
				t.Errorf("got end %s, want %s", got, test.end)
			}
		})
	}
}

// TestCalendarHasNoHolesAndNoOverlaps walks through years of difficult zones.
// Each period begins where the one before ends, and has the same bounds at its
// start, within it and at its last nanosecond.
func TestCalendarHasNoHolesAndNoOverlaps(t *testing.T) {
	zones := []string{
		"UTC", "Asia/Tehran", "Asia/Kathmandu", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe",
		"Africa/Cairo", "America/Havana", "Africa/Casablanca", "Pacific/Apia", "Pacific/Chatham", "Asia/Beirut", "Atlantic/Azores",
	}
	for _, name := range zones {
		zone := mustZone(t, name)
		for _, period := range []Period{ByHour, ByDay, ByWeek, ByMonth} {
			calendar := Calendar{zone, 1 + len(name)}
			from, to := time.Date(2010, 1, 1, 0, 0, 0, 0, zone), time.Date(2028, 1, 1, 0, 0, 0, 0, zone)
			if period == ByHour {
				from = to.AddDate(-2, 0, 0)
			}
			for at := from; at.Before(to); {
				start, end := calendar.Bounds(period, at)
				if !start.Equal(at) && !at.Equal(from) {
					t.Fatalf("%s: got start %s for the next %s, want %s", name, start, period, at)
				}
				for _, within := range []time.Time{start, start.Add(end.Sub(start) / 3), end.Add(-time.Nanosecond)} {
					if s, e := calendar.Bounds(period, within); !s.Equal(start) || !e.Equal(end) {
						t.Fatalf("%s: got %s to %s for the %s of %s, want %s to %s", name, s, e, period, within, start, end)
					}
				}
				at = end
			}
		}
	}
}
