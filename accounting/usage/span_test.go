package usage

import (
	"strings"
	"testing"
	"time"
)

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func mustTime(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSpan(t *testing.T) {
	now := "2026-11-24T16:17:24Z"
	tests := []struct {
		name         string
		request      Request
		since, until string // empty: no bound
		by           Period
	}{
		{"nothing", Request{}, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", ByMonth},
		{"by month", Request{By: "month"}, "", "", ByMonth},
		{"by total", Request{By: "total"}, "", "", ByTotal},
		{"by day", Request{By: "day"}, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", ByDay},
		{"by hour", Request{By: "hour"}, "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z", ByHour},
		{"since a month", Request{Since: "2026-10"}, "2026-10-01T00:00:00Z", "", ByTotal},
		{"until a month", Request{Until: "2026-10"}, "", "2026-11-01T00:00:00Z", ByTotal},
		{"one month", Request{Since: "2026-02", Until: "2026-02"}, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", ByTotal},
		{"one day", Request{Since: "2026-02-28", Until: "2026-02-28"}, "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z", ByTotal},
		{"leap day", Request{Since: "2028-02-29"}, "2028-02-29T00:00:00Z", "", ByTotal},
		{"times", Request{Since: "2026-11-24T10:00:00+01:00", Until: "2026-11-24T10:00"}, "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z", ByTotal},
		{"time with a space", Request{Since: "2026-11-24 10:00:00"}, "2026-11-24T10:00:00Z", "", ByTotal},
		{"widened to hours", Request{Since: "2026-11-24T10:20", Until: "2026-11-24T10:40"}, "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z", ByTotal},
		{"widened to months", Request{By: "month", Since: "2026-10-20", Until: "2026-11-02"}, "2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z", ByMonth},
		{"last hours", Request{Last: "24h"}, "2026-11-23T17:00:00Z", "2026-11-24T17:00:00Z", ByTotal},
		{"last days", Request{Last: "7d", By: "day"}, "2026-11-18T00:00:00Z", "2026-11-25T00:00:00Z", ByDay},
		{"last weeks", Request{Last: "2w"}, "2026-11-11T00:00:00Z", "2026-11-25T00:00:00Z", ByTotal},
		{"last months", Request{Last: "12mo"}, "2025-12-01T00:00:00Z", "2026-12-01T00:00:00Z", ByTotal},
		{"by week", Request{By: "week"}, "2026-10-26T00:00:00Z", "2026-12-07T00:00:00Z", ByWeek},
		{"last weeks by week", Request{By: "week", Last: "2w"}, "2026-11-09T00:00:00Z", "2026-11-30T00:00:00Z", ByWeek},
		{"today", Request{Last: "today"}, "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z", ByTotal},
		{"yesterday", Request{Last: "yesterday"}, "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", ByTotal},
		{"yesterday by hour", Request{Last: "yesterday", By: "hour"}, "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", ByHour},
		{"last week", Request{Last: "week"}, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", ByTotal},
		{"last month", Request{Last: "month"}, "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", ByTotal},
		{"last years", Request{Last: "1y"}, "2025-12-01T00:00:00Z", "2026-12-01T00:00:00Z", ByTotal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, err := test.request.plan(Calendar{time.UTC, 1}, mustTime(t, now))
			if err != nil {
				t.Fatal(err)
			}
			got := [2]string{bound(plan.query.Since), bound(plan.query.Until)}
			if want := [2]string{test.since, test.until}; got != want || plan.query.By != test.by {
				t.Errorf("got %q by %s, want %q by %s", got, plan.query.By, want, test.by)
			}
		})
	}
}

func bound(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func TestMonthDay(t *testing.T) {
	plan, err := Request{Since: "2026-11", Until: "2026-11"}.plan(Calendar{mustZone(t, "Asia/Tehran"), 15}, mustTime(t, "2026-11-24T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	got := bound(plan.query.Since) + " " + bound(plan.query.Until)
	if want := "2026-11-14T20:30:00Z 2026-12-14T20:30:00Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequestErrors(t *testing.T) {
	tests := []struct {
		name    string
		request Request
		want    string
	}{
		{"month 13", Request{Since: "2026-13"}, `since "2026-13": month 13: want 01 to 12`},
		{"month 0", Request{Until: "2026-00-01"}, `until "2026-00-01": month 00: want 01 to 12`},
		{"day 31", Request{Since: "2026-11-31"}, `since "2026-11-31": day 31: November 2026 has 30 days`},
		{"day 0", Request{Since: "2026-11-00"}, `day 00: November 2026 has 30 days`},
		{"no leap year", Request{Since: "2027-02-29"}, "February 2027 has 28 days"},
		{"year", Request{Since: "0001-02"}, "year 0001: want 1970 to 2200"},
		{"word", Request{Since: "yesterday"}, "want a month (2026-11)"},
		{"short", Request{Since: "2026-1-2"}, "want a month (2026-11)"},
		{"sign", Request{Since: "2026-+1"}, "want a month (2026-11)"},
		{"clock", Request{Since: "2026-11-24T25:00"}, "want a month (2026-11)"},
		{"clock of a month", Request{Since: "2026-11T10:00"}, "want a month (2026-11)"},
		{"since after until", Request{Since: "2026-11", Until: "2026-10"}, `since "2026-11" is not before until "2026-10"`},
		{"since is until", Request{Since: "2026-11-24T10:00", Until: "2026-11-24T10:00"}, "is not before until"},
		{"last and since", Request{Last: "7d", Since: "2026"}, "want it without since and until"},
		{"last of minutes", Request{Last: "5m"}, `last "5m": want a number of hours`},
		{"last of nothing", Request{Last: "0d"}, `last "0d": want 1 to 36600d`},
		{"last too long", Request{Last: "101y"}, `want 1 to 100y`},
		{"last without a number", Request{Last: "mo"}, "want a number of hours"},
		{"negative last", Request{Last: "-7d"}, "want a number of hours"},
		{"period", Request{By: "year"}, `period "year": want hour, day, week, month or total`},
		{"last by a wrong name", Request{Last: "tomorrow"}, `last "tomorrow": want a number of hours, days, weeks, months or years, as in 24h, 7d, 4w, 3mo or 1y, or one of today, yesterday, week, month`},
		{"sort", Request{Sort: "size"}, `sort "size": want usage, name, in or out`},
		{"top", Request{Top: "0"}, `top "0": want a number from 1`},
		{"top of letters", Request{Top: "ten"}, `top "ten": want a number from 1`},
		{"port 0", Request{Ports: []string{"0"}}, `port "0": want a number from 1 to 65535`},
		{"port", Request{Ports: []string{"65536"}}, `port "65536": want a number from 1 to 65535`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.request.plan(Calendar{time.UTC, 1}, mustTime(t, "2026-11-24T16:17:24Z"))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func FuzzSpan(f *testing.F) {
	for _, text := range []string{"2026-11", "2026-11-24", "2026-11-24T16:00:00Z", "2026-11-24 16:00", "24h", "3mo", "1y", "9999-12"} {
		f.Add(text, text, text, uint8(1))
	}
	zones := []*time.Location{time.UTC, mustZone(f, "Asia/Kathmandu"), mustZone(f, "America/Havana")}
	now := mustTime(f, "2026-11-24T16:17:24Z")
	f.Fuzz(func(t *testing.T, since, until, last string, day uint8) {
		c := Calendar{zones[int(day)%len(zones)], int(day)%28 + 1}
		for _, request := range []Request{{Since: since, Until: until}, {Last: last}, {Since: since, By: "month"}, {Last: last, By: "day"}} {
			plan, err := request.plan(c, now)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("%+v: got an error of several lines: %v", request, err)
				}
				continue
			}
			if s, u := plan.query.Since, plan.query.Until; !s.IsZero() && !u.IsZero() && !s.Before(u) {
				t.Errorf("%+v: got %s, which is not before %s", request, s, u)
			}
		}
	})
}
