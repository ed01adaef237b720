package usage

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"ssmonitor/accounting"
)

// Sort is the order of the clients in a period.
type Sort string

// The orders of clients. All but the name have the largest first.
const (
	SortUsage Sort = "usage" // received and sent together
	SortName  Sort = "name"
	SortIn    Sort = "in"
	SortOut   Sort = "out"
)

// ParseSort returns the order with the name usage, name, in or out.
func ParseSort(name string) (Sort, error) {
	switch order := Sort(name); order {
	case SortUsage, SortName, SortIn, SortOut:
		return order, nil
	}
	return "", fmt.Errorf("sort %q: want usage, name, in or out", name)
}

// ClientUsage is what one client used in one period on all of its ports, or what
// several clients used that are shown as one.
type ClientUsage struct {
	Client  string   // empty if the port has no name
	Ports   []uint16 // sorted
	Others  int      // the number of clients summed here; 0 for one client
	In, Out accounting.Count
}

// Label returns the name under which reports show the client: its own, or that
// of its port.
func (u ClientUsage) Label() string {
	switch {
	case u.Others == 1:
		return "1 other"
	case u.Others > 0:
		return fmt.Sprintf("%d others", u.Others)
	}
	return u.ID().Label()
}

// ID identifies the client, unless it stands for several.
func (u ClientUsage) ID() ClientID {
	if len(u.Ports) == 0 {
		return ClientOf(u.Client, 0)
	}
	return ClientOf(u.Client, u.Ports[0])
}

// Bytes returns what was received and sent together.
func (u ClientUsage) Bytes() uint64 { return u.In.Bytes + u.Out.Bytes }

func (u *ClientUsage) add(in, out accounting.Count) {
	u.In, u.Out = u.In.Plus(in), u.Out.Plus(out)
}

// PeriodUsage is what the clients used in one period.
type PeriodUsage struct {
	Start, End time.Time
	Clients    []ClientUsage
	In, Out    accounting.Count // of all clients
}

// Bytes returns what all clients received and sent together.
func (p *PeriodUsage) Bytes() uint64 { return p.In.Bytes + p.Out.Bytes }

// Share returns the client's part of the period's bytes, from 0 to 1.
func (p *PeriodUsage) Share(client ClientUsage) float64 {
	if p.Bytes() == 0 {
		return 0
	}
	return float64(client.Bytes()) / float64(p.Bytes())
}

// Report is what a report shows, whatever its format.
type Report struct {
	By           Period
	Since, Until time.Time // a zero time is no bound
	Now          time.Time
	Sort         Sort
	Calendar
	// Periods are sorted by time. A period without clients has no recorded usage.
	Periods []PeriodUsage
	// Whole has the usage of each client over the whole time, sorted and cut as
	// in each period. It has no bounds of its own.
	Whole  PeriodUsage
	Gaps   []Gap
	Limits []LimitState
	over   map[ClientID][]LimitState // those of Limits that are over it
	// Course divides the time into shorter periods for a chart. It is empty if
	// none was requested.
	CourseBy Period
	Course   []PeriodUsage
}

// Over reports whether the client used more than its monthly limit in a month that the
// period touches. The whole time touches every month of the report.
func (r *Report) Over(client ClientUsage, period *PeriodUsage) bool {
	if client.Others > 0 {
		return false
	}
	return slices.ContainsFunc(r.over[client.ID()], func(month LimitState) bool {
		return period == &r.Whole || month.Start.Before(period.End) && month.End.After(period.Start)
	})
}

// Empty reports whether no usage and no gap is recorded.
func (r *Report) Empty() bool { return len(r.Whole.Clients) == 0 && len(r.Gaps) == 0 }

// periodsOf adds up the rows of each client in each period. Clients are in the order in
// which they first appear.
func periodsOf(rows []Row) []PeriodUsage {
	var periods []PeriodUsage
	clientOf := make(map[ClientID]int) // places in the last period
	for i := range rows {
		row := &rows[i]
		if last := len(periods) - 1; last < 0 || !row.Start.Equal(periods[last].Start) {
			periods = append(periods, PeriodUsage{Start: row.Start, End: row.End})
			clear(clientOf)
		}
		periods[len(periods)-1].addRow(row, clientOf)
	}
	return periods
}

func (p *PeriodUsage) addRow(row *Row, clientOf map[ClientID]int) {
	id := ClientOf(row.Client, row.Port)
	place, found := clientOf[id]
	if !found {
		place = len(p.Clients)
		clientOf[id] = place
		p.Clients = append(p.Clients, ClientUsage{Client: row.Client, Ports: []uint16{}})
	}
	client := &p.Clients[place]
	client.add(row.In, row.Out)
	if i, found := slices.BinarySearch(client.Ports, row.Port); !found && row.Port > 0 {
		client.Ports = slices.Insert(client.Ports, i, row.Port)
	}
	p.In, p.Out = p.In.Plus(row.In), p.Out.Plus(row.Out)
}

// sortClients sorts by the order, and clients that are equal in it by name.
func sortClients(clients []ClientUsage, order Sort) {
	slices.SortFunc(clients, func(a, b ClientUsage) int {
		var first int
		switch order {
		case SortUsage:
			first = cmp.Compare(b.Bytes(), a.Bytes())
		case SortIn:
			first = cmp.Compare(b.In.Bytes, a.In.Bytes)
		case SortOut:
			first = cmp.Compare(b.Out.Bytes, a.Out.Bytes)
		}
		return cmp.Or(first, a.ID().Compare(b.ID()))
	})
}

// arrange sorts the clients. If there are more than top, it keeps the top ones and
// adds up the others in one entry; 0 keeps all. If the order is by name, the ones
// with the largest usage are kept.
func (p *PeriodUsage) arrange(order Sort, top int) {
	if top > 0 && len(p.Clients) > top {
		largest := order
		if order == SortName {
			largest = SortUsage
		}
		sortClients(p.Clients, largest)
		others := ClientUsage{Others: len(p.Clients) - top}
		for _, client := range p.Clients[top:] {
			others.add(client.In, client.Out)
			others.Ports = append(others.Ports, client.Ports...)
		}
		slices.Sort(others.Ports)
		others.Ports = slices.Compact(others.Ports)
		sortClients(p.Clients[:top], order)
		p.Clients = append(slices.Clip(p.Clients[:top]), others)
		return
	}
	sortClients(p.Clients, order)
}

// whole adds up the rows of all periods.
func whole(rows []Row) (sum PeriodUsage) {
	clientOf := make(map[ClientID]int)
	for i := range rows {
		sum.addRow(&rows[i], clientOf)
	}
	return sum
}

// fill adds a period without clients wherever none is recorded between since and
// until. Periods that were recorded under another zone or month day may begin at
// any time; the added ones fit around them.
func (c Calendar) fill(periods []PeriodUsage, by Period, since, until time.Time) []PeriodUsage {
	var filled []PeriodUsage
	at := since
	empty := func(until time.Time) {
		for at.Before(until) {
			end := c.next(by, at)
			if end.After(until) {
				end = until
			}
			filled = append(filled, PeriodUsage{Start: at, End: end})
			at = end
		}
	}
	for _, period := range periods {
		empty(period.Start)
		filled = append(filled, period)
		if period.End.After(at) {
			at = period.End
		}
	}
	empty(until)
	return filled
}
