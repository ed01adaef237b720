package netdata

import (
	"cmp"
	"slices"

	"ssmonitor/accounting"
)

// otherCharts is the sum of the ports without charts of their own. Their totals
// can't be added up: a port that gets charts would take its total with it. So
// the sum grows by what each of them gained since the last report.
type otherCharts struct {
	pair
	sum    accounting.Traffic
	before map[uint16]accounting.Traffic // of all ports of the last report
	now    map[uint16]accounting.Traffic // of this report; reused
}

func newOtherCharts() otherCharts {
	return otherCharts{
		pair:   newPair("other", "other", " of the other ports", "other ports", 59995),
		before: make(map[uint16]accounting.Traffic), now: make(map[uint16]accounting.Traffic),
	}
}

// shown returns the ports that get charts of their own, sorted by number. A port
// that has them keeps them until another one has a tenth more, so that charts do
// not come and go.
func (c *chartWriter) shown(ports []accounting.PortReport) []accounting.PortReport {
	if len(ports) <= c.maxPorts {
		return ports
	}
	const advantage, more = 1.1, 0.05                                    // more than nothing, for ports without traffic
	bytes, order := make([]float64, len(ports)), make([]int, len(ports)) // order has indices
	for i := range ports {
		sum := ports[i].Sum()
		order[i], bytes[i] = i, float64(sum.In.Total.Bytes)+float64(sum.Out.Total.Bytes)
		if charts := c.ports[ports[i].Port.Number]; charts != nil && charts.traffic.live {
			bytes[i] = bytes[i]*advantage + more
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(bytes[b], bytes[a]) })
	order = order[:max(c.maxPorts, 0)]
	slices.Sort(order)
	shown := make([]accounting.PortReport, len(order))
	for i, port := range order {
		shown[i] = ports[port]
	}
	return shown
}

// writeOthers writes the charts of the ports that have none of their own, if
// there are too many ports. It is called after the charts of ports are written.
// If no port has charts, the others are all of them, which have one already.
func (c *chartWriter) writeOthers(report *accounting.Report) {
	others := &c.others
	if len(report.Ports) <= c.maxPorts || c.maxPorts <= 0 {
		if others.traffic.live {
			c.retire(&others.traffic, &others.packets)
			clear(others.before)
		}
		return
	}
	if !others.traffic.live {
		c.definePair(&others.pair, "")
	}
	complete := true
	for i := range report.Ports {
		port := &report.Ports[i]
		// What a port gained before its first value in charts of its own is not in
		// these.
		charts := c.ports[port.Port.Number]
		charted := charts != nil && charts.traffic.live && charts.began != c.cycle
		complete = others.add(port, charted) && complete
	}
	others.before, others.now = others.now, others.before
	clear(others.now)
	if complete {
		c.updatePair(&others.pair, others.sum)
		return
	}
	c.writeValues(&others.traffic, false)
	c.writeValues(&others.packets, false)
}

// add adds what a port gained since the last report, unless it has charts. It
// reports whether that is known: a total decreases if the agent has lost its
// state.
func (o *otherCharts) add(port *accounting.PortReport, charted bool) (known bool) {
	now := port.Sum()
	before, reported := o.before[port.Port.Number]
	o.now[port.Port.Number] = now
	if charted || !reported {
		return true
	}
	known = true
	for _, flow := range [...]struct{ sum, before, now *accounting.Count }{
		{&o.sum.In.Total, &before.In.Total, &now.In.Total}, {&o.sum.Out.Total, &before.Out.Total, &now.Out.Total},
	} {
		if flow.now.Bytes < flow.before.Bytes || flow.now.Packets < flow.before.Packets {
			known = false
			continue
		}
		flow.sum.Bytes += flow.now.Bytes - flow.before.Bytes
		flow.sum.Packets += flow.now.Packets - flow.before.Packets
	}
	return known
}
