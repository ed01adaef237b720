package top

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/output/api"
)

// client is one line of the table: what a client does on all of its ports.
type client struct {
	label   string // the name, or "port 20000" for a port without one
	ports   []*accounting.PortReport
	rated   bool // the rates of all ports are known
	in, out accounting.Rate
	// connections are unknown if those of any port with TCP are. Addresses can't
	// be told from each other across ports: with several ports they are the
	// least that there can be.
	connections      accounting.Connections
	addressesAtLeast bool
	today, month     amount
	limit            api.UsageLimit // Limit is 0 if there is none
}

// amount is a number of bytes that may be unknown.
type amount struct {
	bytes uint64
	known bool
}

// share returns the part of the limit that the client has used.
func (c *client) share() (share float64, known bool) {
	if c.limit.Limit == 0 {
		return 0, false
	}
	return float64(c.limit.Used) / float64(c.limit.Limit), true
}

// clientsOf sums the ports of each client.
func clientsOf(report *accounting.Report) []client {
	places := make(map[string]int, len(report.Ports))
	clients := make([]client, 0, len(report.Ports))
	for i := range report.Ports {
		port := &report.Ports[i]
		label := usage.ClientOf(port.Port.Name, port.Port.Number).Label()
		place, found := places[label]
		if !found {
			place = len(clients)
			places[label] = place
			clients = append(clients, client{label: label, rated: true})
		}
		clients[place].add(port)
	}
	for i := range clients {
		clients[i].countConnections()
	}
	return clients
}

func (c *client) add(port *accounting.PortReport) {
	sum := port.Sum()
	c.rated = c.rated && port.Rated
	c.in, c.out = c.in.Plus(sum.In.Rate), c.out.Plus(sum.Out.Rate)
	c.ports = append(c.ports, port)
}

func (c *client) countConnections() {
	for _, p := range c.ports {
		if !p.Port.Protocols.Has(accounting.TCP) {
			continue
		}
		if !p.Connections.Known {
			c.connections, c.addressesAtLeast = accounting.Connections{}, false
			return
		}
		c.connections.Known = true
		c.connections.Established += p.Connections.Established
		c.addressesAtLeast = c.addressesAtLeast || min(c.connections.Addresses, p.Connections.Addresses) > 0
		c.connections.Addresses = max(c.connections.Addresses, p.Connections.Addresses)
	}
}

// matches reports whether the client's name or one of its ports has the text, in
// lower case.
func (c *client) matches(text string) bool {
	return strings.Contains(strings.ToLower(c.label), text) || slices.ContainsFunc(c.ports, func(p *accounting.PortReport) bool {
		return strings.Contains(strconv.Itoa(int(p.Port.Number)), text)
	})
}

// used is what an answer to GET /v1/usage has about one period.
type used struct {
	until  time.Time // when the period ends
	bytes  map[string]uint64
	limits map[string]api.UsageLimit
}

func usedIn(report *api.Usage) *used {
	u := &used{until: report.Until, bytes: make(map[string]uint64), limits: make(map[string]api.UsageLimit)}
	for _, period := range report.Periods {
		for _, c := range period.Clients {
			u.bytes[c.Client] += c.Bytes
		}
	}
	for _, state := range report.Limits {
		u.limits[state.Client] = state
	}
	return u
}

// of returns what the client has used. It is unknown without an answer, and when
// the answer's period is over.
func (u *used) of(label string, now time.Time) amount {
	if !u.valid(now) {
		return amount{}
	}
	return amount{u.bytes[label], true}
}

func (u *used) valid(now time.Time) bool { return u != nil && now.Before(u.until) }

// order is what the table is sorted by.
type order int

// The orders, as the columns stand from left to right.
const (
	byName order = iota
	byIn
	byOut
	byRate // both directions; it has no column
	byToday
	byMonth
	byLimit
	byConnections
	byAddresses
	orders // how many there are
)

// orderKeys are the letters that select an order.
const orderKeys = "niortmlca"

func (o order) String() string {
	return [orders]string{"name", "in", "out", "rate", "today", "month", "limit", "connections", "addresses"}[o]
}

// sortClients sorts by the order: names from the first, numbers from the largest,
// unknown numbers last. Equal clients are sorted by name.
func sortClients(clients []client, by order, reversed bool) {
	slices.SortFunc(clients, func(a, b client) int {
		first := 0
		if by != byName {
			x, xKnown := a.number(by)
			y, yKnown := b.number(by)
			switch {
			case xKnown != yKnown && xKnown:
				return -1
			case xKnown != yKnown:
				return 1
			case xKnown:
				first = cmp.Compare(y, x)
			}
		}
		byLabel := compareLabels(&a, &b)
		if reversed {
			if by == byName {
				return -byLabel
			}
			first = -first
		}
		return cmp.Or(first, byLabel)
	})
}

// compareLabels orders names as people look them up, followed by the ports without
// a name in the order of their numbers.
func compareLabels(a, b *client) int {
	unnamed := func(c *client) int {
		if c.ports[0].Port.Name == "" {
			return int(c.ports[0].Port.Number)
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(unnamed(a), unnamed(b)),
		cmp.Compare(strings.ToLower(a.label), strings.ToLower(b.label)),
		cmp.Compare(a.label, b.label))
}

// number returns the value that the order compares.
func (c *client) number(by order) (value float64, known bool) {
	switch by {
	case byIn:
		return c.in.Bytes, c.rated
	case byOut:
		return c.out.Bytes, c.rated
	case byRate:
		return c.in.Bytes + c.out.Bytes, c.rated
	case byToday:
		return float64(c.today.bytes), c.today.known
	case byMonth:
		return float64(c.month.bytes), c.month.known
	case byLimit:
		return c.share()
	case byConnections:
		return float64(c.connections.Established), c.connections.Known
	case byAddresses:
		return float64(c.connections.Addresses), c.connections.Known
	case byName, orders:
	}
	return 0, false
}
