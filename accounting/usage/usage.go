package usage

import (
	"fmt"
	"time"

	"ssmonitor/accounting"
)

// Period is the length of time that one line of a usage report stands for.
type Period string

// The periods that usage is kept by, and ByTotal, which stands for all of the
// time that a report covers.
const (
	ByHour  Period = "hour"
	ByDay   Period = "day"
	ByMonth Period = "month"
	ByTotal Period = "total"
)

// ParsePeriod returns the period with the name hour, day, month or total.
func ParsePeriod(name string) (Period, error) {
	switch period := Period(name); period {
	case ByHour, ByDay, ByMonth, ByTotal:
		return period, nil
	}
	return "", fmt.Errorf("period %q: want hour, day, month or total", name)
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
	// Start and End bound the period in the zone of the report. For ByTotal
	// they bound the recorded usage.
	Start, End time.Time
	Client     string // empty if the port has no name
	Port       uint16
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
	Query Query
	Rows  []Row // sorted by Start, Client, Port and Protocol
	Gaps  []Gap // sorted by Since
}
