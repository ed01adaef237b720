package report

import (
	"fmt"
	"strings"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/units"
)

// Layouts of times for people.
const (
	dayLayout    = "2006-01-02"
	minuteLayout = "2006-01-02 15:04"
)

// timeText writes an instant: the date alone if it is midnight.
func timeText(t time.Time) string {
	if isMidnight(t) {
		return t.Format(dayLayout)
	}
	return t.Format(minuteLayout)
}

func isMidnight(t time.Time) bool {
	hour, minute, second := t.Clock()
	return hour == 0 && minute == 0 && second == 0
}

// spanText writes the time between two instants: "2026-11", "2026-11-24",
// "2026-11-15 to 2026-12-14" (both days included), or with times of day.
func spanText(start, end time.Time) string {
	if !isMidnight(start) || !isMidnight(end) {
		return clockText(start, end)
	}
	switch {
	case start.Day() == 1 && sameDay(start.AddDate(0, 1, 0), end):
		return start.Format("2006-01")
	case sameDay(start.AddDate(0, 0, 1), end):
		return start.Format(dayLayout)
	}
	return start.Format(dayLayout) + " to " + end.AddDate(0, 0, -1).Format(dayLayout)
}

// clockText writes the time between two instants with times of day. It adds the
// UTC offset near a change of the clocks, since an hour may occur twice then.
func clockText(start, end time.Time) string {
	layout := minuteLayout
	_, before := start.Add(-24 * time.Hour).Zone()
	_, after := end.Add(24 * time.Hour).Zone()
	if before != after {
		layout += "-07:00"
	}
	if end.Sub(start) == time.Hour {
		return start.Format(layout)
	}
	return start.Format(layout) + " to " + end.Format(layout)
}

func sameDay(a, b time.Time) bool { return a.Format(dayLayout) == b.Format(dayLayout) }

// divided reports whether the report names its periods. One that is all of its time needs
// no name beside that.
func divided(report *usage.Report) bool {
	if len(report.Periods) != 1 || report.By == usage.ByTotal {
		return len(report.Periods) > 1
	}
	period := report.Periods[0]
	return !report.Since.IsZero() && !report.Since.Equal(period.Start) || !report.Until.IsZero() && !report.Until.Equal(period.End)
}

// rangeText writes the time of a whole report.
func rangeText(report *usage.Report) string {
	since, until := report.Since, report.Until
	if open := since.IsZero() || until.IsZero(); open && report.By != usage.ByTotal && len(report.Periods) == 1 {
		since, until = report.Periods[0].Start, report.Periods[0].End
	}
	switch {
	case since.IsZero() && until.IsZero():
		return "all of the time"
	case since.IsZero():
		return "before " + timeText(until)
	case until.IsZero():
		return "since " + timeText(since)
	}
	if span := spanText(since, until); span != since.Format("2006-01") {
		return span
	}
	return since.Format("January 2006")
}

// zoneText names the zone, and the day on which months begin unless that is the
// first.
func zoneText(report *usage.Report) string {
	zone := report.ZoneName(report.Now)
	if report.MonthDay > 1 {
		return fmt.Sprintf("%s, months begin on day %d", zone, report.MonthDay)
	}
	return zone
}

// gapText writes the time of a gap and the traffic that was counted in it.
func gapText(gap usage.Gap) string {
	since := "some time"
	if !gap.Since.IsZero() {
		since = gap.Since.Format(minuteLayout)
	}
	return fmt.Sprintf("%s to %s: %s received, %s sent", since, gap.Until.Format(minuteLayout),
		units.Bytes(gap.In.Bytes), units.Bytes(gap.Out.Bytes))
}

// countClients writes "1 client" or "3 clients", including those summed as others.
func countClients(clients []usage.ClientUsage) string {
	count := 0
	for _, client := range clients {
		count += max(1, client.Others)
	}
	return terminal.Count(count, "client")
}

// portList writes the ports of a client: "20000 20001".
func portList(ports []uint16) string {
	return strings.Trim(fmt.Sprint(ports), "[]")
}
