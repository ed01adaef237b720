// Package netdata is Netdata's external plugin: it asks the agent and prints charts in
// the protocol of external plugins.
package netdata

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"ssmonitor/accounting"
)

// chartWriter writes a series of reports in the protocol of Netdata's external
// plugins (src/plugins.d/README.md in Netdata's repository). It uses only the
// keywords that every Netdata since 1.12 knows, and labels, which came with 1.32: an
// older one disables a plugin for a keyword that it does not know. There is a chart of the total,
// and two charts per port, which are created and retired with the ports, with a
// third one where it is known who is connected. If there are more ports than are
// to have charts, two charts show the sum of the others.
//
// Charts of one context differ only in their ids and labels: newer versions of
// Netdata show title and family of one chart for the whole context.
//
// Netdata calculates the rates from the totals. It may take a total that
// decreases for the overflow of a 32-bit counter and show a rate that never
// occurred; see [series].
type chartWriter struct {
	out      io.Writer
	seconds  int
	maxPorts int  // that have charts of their own
	labels   bool // without them titles name port and client

	total  chart
	ports  map[uint16]*portCharts // also those that are retired
	others otherCharts

	previous time.Time // time of the last report written
	cycle    int       // counts reports and gaps
	since    int64     // microseconds since the last report; 0: not to be told
	buffer   []byte
}

// portCharts is a port as Netdata knows it. Its charts live while traffic does.
type portCharts struct {
	pair
	// addresses shows from how many addresses clients are connected. It is a chart per
	// port, not a dimension: Netdata has no alerts per dimension since 1.39 (netdata
	// issues 15472 and 17456), and newer dashboards show all charts of the context in
	// one anyway, a line per port.
	addresses chart
	name      string // as in the report
	label     string // the name as Netdata has it
	began     int    // cycle since which the charts have been live
	reported  int    // cycle of the last report with this port
}

// newChartWriter returns a writer of charts with that many seconds between two values. At
// most maxPorts ports have charts of their own, those with the largest totals. Labels are
// for a Netdata that knows them. Each report is written to out with a single call of Write.
func newChartWriter(out io.Writer, seconds, maxPorts int, labels bool) *chartWriter {
	return &chartWriter{
		out: out, seconds: seconds, maxPorts: maxPorts, labels: labels, cycle: 1,
		total: newTrafficChart("total", "traffic", " of all ports", "all ports", 59990), ports: make(map[uint16]*portCharts), others: newOtherCharts(),
	}
}

// write writes the report's totals, preceded by the definitions of charts that
// are new or have changed. It ignores a report with the same time as the last
// one, since that contains nothing new.
func (c *chartWriter) write(report *accounting.Report) error {
	elapsed := report.Time.Sub(c.previous)
	if elapsed == 0 {
		return nil
	}
	c.previous, c.since = report.Time, c.microseconds(elapsed)
	c.cycle++
	c.buffer = c.buffer[:0]

	if !c.total.live {
		c.define(&c.total, "")
	}
	c.update(&c.total, report.Total.In.Total.Bytes, report.Total.Out.Total.Bytes)
	shown := c.shown(report.Ports)
	for i := range shown {
		c.writePort(&shown[i])
	}
	c.retireUnreported()
	c.writeOthers(report)
	if _, err := c.out.Write(c.buffer); err != nil {
		return fmt.Errorf("writing to Netdata: %w", err)
	}
	return nil
}

// gap marks a cycle without a report. The next values are not written as a
// continuation of the previous ones.
func (c *chartWriter) gap() { c.cycle++ }

// microseconds returns the time since the last report for Netdata. It returns 0,
// so that Netdata uses its own clock, if a cycle was missed or the clock of the
// reports must have been set.
func (c *chartWriter) microseconds(elapsed time.Duration) int64 {
	cycle := time.Duration(c.seconds) * time.Second
	if elapsed < cycle/2 || elapsed >= 2*cycle {
		return 0
	}
	return elapsed.Microseconds()
}

// writePort writes the values of a port, preceded by the definitions of its charts if
// they are not live or the port has a new name.
func (c *chartWriter) writePort(port *accounting.PortReport) {
	charts := c.ports[port.Port.Number]
	if charts == nil {
		charts = newPortCharts(port.Port.Number)
		c.ports[port.Port.Number] = charts
	}
	charts.reported = c.cycle
	if !charts.traffic.live || charts.name != port.Port.Name {
		if !charts.traffic.live {
			charts.began = c.cycle
		}
		charts.name, charts.label = port.Port.Name, cleanField(port.Port.Name)
		c.definePair(&charts.pair, charts.label)
		charts.addresses.live = false // under this label
	}
	c.updatePair(&charts.pair, port.Sum())
	if port.Connections.Known {
		if !charts.addresses.live {
			c.define(&charts.addresses, charts.label)
		}
		c.update(&charts.addresses, uint64(port.Connections.Addresses))
	}
}

// retireUnreported tells Netdata that the charts of ports that are not in the report are
// obsolete. Their totals are kept, so that a port that returns continues from there.
func (c *chartWriter) retireUnreported() {
	var numbers []uint16
	for number, charts := range c.ports {
		if charts.traffic.live && charts.reported != c.cycle {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		charts := c.ports[number]
		c.retire(&charts.traffic, &charts.packets)
		if charts.addresses.live {
			c.retire(&charts.addresses)
		}
	}
}

// pair is the two charts of the same traffic.
type pair struct {
	traffic, packets chart
}

func (c *chartWriter) definePair(p *pair, label string) {
	c.define(&p.traffic, label)
	c.define(&p.packets, label)
}

func (c *chartWriter) updatePair(p *pair, sum accounting.Traffic) {
	c.update(&p.traffic, sum.In.Total.Bytes, sum.Out.Total.Bytes)
	c.update(&p.packets, sum.In.Total.Packets, sum.Out.Total.Packets)
}

func newPortCharts(number uint16) *portCharts {
	port := strconv.Itoa(int(number))
	charts := &portCharts{pair: newPair("port_"+port, "port", " of a port", "ports", 60000), addresses: chart{
		id: "ssmonitor.port_" + port + "_addresses", port: port, title: "Addresses connected to a port", family: "ports",
		units: "addresses", context: "ssmonitor.port_addresses", typ: "line", priority: 60002,
		dimensions: []series{{id: "addresses", absolute: true, multiplier: 1, divisor: 1}},
	}}
	charts.traffic.port, charts.packets.port = port, port
	return charts
}

// newPair returns the charts ssmonitor.ID_traffic and ssmonitor.ID_packets.
func newPair(id, context, of, family string, priority int) pair {
	return pair{
		traffic: newTrafficChart(id, context+"_traffic", of, family, priority),
		packets: chart{
			id: "ssmonitor." + id + "_packets", context: "ssmonitor." + context + "_packets", title: "Packets" + of, family: family,
			units: "packets/s", typ: "line", priority: priority + 1, dimensions: receivedAndSent(1, 1),
		},
	}
}

func newTrafficChart(id, context, of, family string, priority int) chart {
	return chart{
		id: "ssmonitor." + id + "_traffic", context: "ssmonitor." + context, title: "Traffic" + of, family: family,
		units: "kilobits/s", typ: "area", priority: priority, dimensions: receivedAndSent(8, 1000),
	}
}
