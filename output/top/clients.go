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
	id         usage.ClientID
	label      string // of id: the name, or "port 20000" for a port without one
	ports      []*accounting.PortReport
	ratesKnown bool // the rates of all ports are known
	in, out    accounting.Rate
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
	places := make(map[usage.ClientID]int, len(report.Ports))
	clients := make([]client, 0, len(report.Ports))
	for i := range report.Ports {
		port := &report.Ports[i]
		id := usage.ClientOf(port.Port.Name, port.Port.Number)
		place, found := places[id]
		if !found {
			place = len(clients)
			places[id] = place
			clients = append(clients, client{id: id, label: id.Label(), ratesKnown: true})
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
	c.ratesKnown = c.ratesKnown && port.RatesKnown
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

// total returns the bytes of the client's ports of all time.
func (c *client) total() (bytes uint64) {
	for _, port := range c.ports {
		sum := port.Sum()
		bytes += sum.In.Total.Bytes + sum.Out.Total.Bytes
	}
	return bytes
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
	totals map[string]uint64 // of the clients at the answer
}

func usedIn(report *api.Usage, clients []client) *used {
	u := &used{
		until: report.Until, bytes: make(map[string]uint64), limits: make(map[string]api.UsageLimit),
		totals: make(map[string]uint64),
	}
	for i := range clients {
		u.totals[clients[i].label] = clients[i].total()
	}
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

// of returns what the client has used. It is unknown without an answer, when the answer's
// period is over, and if the client has no usage in the answer, but has used something
// since.
func (u *used) of(c *client, now time.Time) amount {
	if !u.valid(now) {
		return amount{}
	}
	bytes, found := u.bytes[c.label]
	before, seen := u.totals[c.label]
	return amount{bytes, found || seen && c.total() == before}
}

func (u *used) valid(now time.Time) bool { return u != nil && now.Before(u.until) }

// sortClients sorts by the column: names from the first, numbers from the largest,
// unknown numbers last. Equal clients are sorted by name.
func sortClients(clients []client, by *column, reversed bool) {
	slices.SortFunc(clients, func(a, b client) int {
		byName := a.id.Compare(b.id)
		if by.value == nil {
			if reversed {
				return -byName
			}
			return byName
		}
		x, xKnown := by.value(&a)
		y, yKnown := by.value(&b)
		first := 0
		switch {
		case xKnown != yKnown && xKnown:
			return -1
		case xKnown != yKnown:
			return 1
		case xKnown:
			first = cmp.Compare(y, x)
		}
		if reversed {
			first = -first
		}
		return cmp.Or(first, byName)
	})
}
