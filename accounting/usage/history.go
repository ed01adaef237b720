package usage

import (
	"context"
	"time"

	"ssmonitor/accounting"
)

// History is the recorded usage.
type History interface {
	// View calls read with the usage at one moment, more than once if the
	// first attempt fails. It returns the error of read, or its own.
	View(ctx context.Context, read func(Snapshot) error) error
}

// Snapshot is the usage at one moment.
type Snapshot interface {
	// Calendar returns the calendar in force.
	Calendar() Calendar
	// Usage answers a query. Its times are in the zone of the calendar.
	Usage(query Query) (*Records, error)
	// Clients returns every client that has ever had a port, in no particular
	// order. One of port 0 stands for those that were forgotten.
	Clients() ([]Client, error)
}

// Query selects a part of the recorded usage.
type Query struct {
	By Period
	// Since and Until bound the report: it has the periods that begin at Since
	// or later and before Until. A zero time is no bound.
	Since, Until time.Time
	// Clients and Ports restrict the report. Empty slices select everything.
	Clients []ClientID
	Ports   []uint16
}

// Row is what one client used in one period on one port by one protocol.
type Row struct {
	// Start and End bound the period. For ByTotal they bound the recorded usage.
	Start, End time.Time
	Client     string // empty if the port has no name
	Port       uint16 // 0 of forgotten clients
	Protocol   accounting.Protocol
	In, Out    accounting.Count
}

// Gap is a time whose history was lost, with the traffic that the counters
// show for it. The traffic is included in the row of the period in which it was
// read, so that the rows still add up to the total.
type Gap struct {
	Since, Until time.Time // Since is zero if it is not known
	In, Out      accounting.Count
}

// Records are the answer to a [Query].
type Records struct {
	Rows []Row // sorted by Start, Client, Port and Protocol
	Gaps []Gap // those that touch the time of the query, sorted by Since
}

// Month is the usage of the running month.
type Month struct {
	Start time.Time
	Rows  []Row // by month; later ones are of a clock that was set back
}

// ThisMonth returns the recorded usage of the month that contains now.
func ThisMonth(ctx context.Context, history History, calendar Calendar, now time.Time) (*Month, error) {
	month := &Month{Start: calendar.start(ByMonth, now)}
	err := history.View(ctx, func(recorded Snapshot) error {
		records, err := recorded.Usage(Query{By: ByMonth, Since: month.Start})
		if err == nil {
			month.Rows = records.Rows
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return month, nil
}
