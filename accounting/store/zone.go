package store

import (
	"time"
	_ "time/tzdata" // a static binary may run on a host without time zones

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting/usage"
)

// periods are numbered in the database by their index.
var periods = [...]usage.Period{usage.ByHour, usage.ByDay, usage.ByMonth}

const (
	hourPeriod = iota
	dayPeriod
	monthPeriod
)

// labels are the formats in which the views show the start of a period.
var labels = [...]string{"2006-01-02T15:04:05Z07:00", time.DateOnly, time.DateOnly}

// calendar returns the calendar of the last save.
func (db *database) calendar() (usage.Calendar, error) {
	calendar := usage.Calendar{Zone: time.UTC, MonthDay: 1}
	err := db.run("select zone, zone_offset, month_day from ledger", func(row *sqlite3.Stmt) error {
		name, offset := row.ColumnText(0), row.ColumnInt(1)
		zone, err := time.LoadLocation(name)
		if err != nil {
			zone = time.FixedZone(name, offset)
		}
		calendar.Zone, calendar.MonthDay = zone, row.ColumnInt(2)
		return nil
	})
	return calendar, err
}

func (db *database) setCalendar(calendar usage.Calendar, now time.Time) error {
	_, offset := now.In(calendar.Zone).Zone()
	return db.run("update ledger set zone = ?, zone_offset = ?, month_day = ?", nil,
		calendar.Zone.String(), int64(offset), int64(calendar.MonthDay))
}
