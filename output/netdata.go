package output

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ssmonitor/accounting"
)

// Charts writes a series of reports in the protocol of Netdata's external
// plugins (src/plugins.d/README.md in Netdata's repository). It uses only the
// keywords that every Netdata since 1.37 knows. There is a chart of the total,
// and two charts per port, which are created and retired with the ports.
//
// Netdata calculates the rates from the totals. It may take a total that
// decreases for the overflow of a 32-bit counter and show a rate that never
// occurred; see [series].
type Charts struct {
	out      io.Writer
	seconds  int
	total    *chart
	ports    map[uint16]*portCharts // retired ones included
	active   int                    // how many of ports are not retired
	previous time.Time              // time of the last report written
	buffer   []byte
}

// portCharts is a port as Netdata knows it.
type portCharts struct {
	traffic, packets chart
	name             string    // as in the report
	label            string    // the name as Netdata has it
	retired          bool      // the charts were marked as obsolete
	written          time.Time // time of the last report with this port
}

// NewCharts returns charts with that many seconds between two values. Each
// report is written to out with a single call of Write.
func NewCharts(out io.Writer, seconds int) *Charts {
	return &Charts{out: out, seconds: seconds, ports: make(map[uint16]*portCharts)}
}

// Write writes the report's totals, preceded by the definitions of charts that
// are new or have changed. It ignores a report with the same time as the last
// one, since that contains nothing new.
func (c *Charts) Write(report *accounting.Report) error {
	elapsed := report.Time.Sub(c.previous)
	if elapsed == 0 {
		return nil
	}
	c.previous = report.Time
	c.buffer = c.buffer[:0]

	since := c.microseconds(elapsed)
	if c.total == nil {
		c.total = newTotalChart()
		c.buffer = c.total.define(c.buffer, "", c.seconds)
	}
	c.buffer = c.total.update(c.buffer, since, report.Total.In.Total.Bytes, report.Total.Out.Total.Bytes)
	for i := range report.Ports {
		port := &report.Ports[i]
		charts := c.activate(port.Port, report.Time)
		sum := port.Sum()
		c.buffer = charts.traffic.update(c.buffer, since, sum.In.Total.Bytes, sum.Out.Total.Bytes)
		c.buffer = charts.packets.update(c.buffer, since, sum.In.Total.Packets, sum.Out.Total.Packets)
	}
	if c.active > len(report.Ports) {
		c.retire(report.Time)
	}
	if _, err := c.out.Write(c.buffer); err != nil {
		return fmt.Errorf("writing to Netdata: %w", err)
	}
	return nil
}

// Gap marks a cycle without a report. The next values are not written as a
// continuation of the previous ones.
func (c *Charts) Gap() {
	if c.total == nil {
		return
	}
	c.total.continuous = false
	for _, charts := range c.ports {
		charts.interrupt()
	}
}

// microseconds returns the time since the last report for Netdata. It returns 0,
// so that Netdata uses its own clock, if a cycle was missed or the clock of the
// reports must have been set.
func (c *Charts) microseconds(elapsed time.Duration) int64 {
	cycle := time.Duration(c.seconds) * time.Second
	if elapsed < cycle/2 || elapsed >= 2*cycle {
		return 0
	}
	return elapsed.Microseconds()
}

// activate returns the port's charts. It first writes their definition if they
// are new, were retired or have a new name.
func (c *Charts) activate(port accounting.Port, now time.Time) *portCharts {
	charts, known := c.ports[port.Number]
	if !known {
		charts = newPortCharts(port.Number)
		c.ports[port.Number] = charts
	}
	charts.written = now
	if known && !charts.retired && charts.name == port.Name {
		return charts
	}
	if !known || charts.retired {
		c.active++
	}
	charts.name, charts.label, charts.retired = port.Name, cleanField(port.Name), false
	c.buffer = charts.traffic.define(c.buffer, charts.label, c.seconds)
	c.buffer = charts.packets.define(c.buffer, charts.label, c.seconds)
	return charts
}

// retire tells Netdata that the charts of ports that are not in the report are
// obsolete. Their series are kept, so that a port that returns continues from
// its total.
func (c *Charts) retire(now time.Time) {
	var numbers []uint16
	for number, charts := range c.ports {
		if !charts.retired && !charts.written.Equal(now) {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		charts := c.ports[number]
		charts.retired = true
		charts.interrupt()
		c.buffer = charts.traffic.appendChart(c.buffer, charts.label, c.seconds, "obsolete")
		c.buffer = charts.packets.appendChart(c.buffer, charts.label, c.seconds, "obsolete")
		c.buffer = append(c.buffer, '\n')
	}
	c.active -= len(numbers)
}

func (p *portCharts) interrupt() {
	p.traffic.continuous, p.packets.continuous = false, false
}

// chart is one chart with the dimensions received and sent.
type chart struct {
	id       string
	port     string // empty: all ports
	title    string // common to all charts of the context
	units    string
	context  string
	typ      string // area or line
	priority int    // the lower, the higher on the dashboard
	// Netdata multiplies a value by the multiplier, negated for sent so that it
	// is drawn below zero, and divides it by the divisor.
	multiplier, divisor int

	received, sent series
	continuous     bool // the previous cycle had a value
}

func newTotalChart() *chart {
	return &chart{
		id: "ssmonitor.total_traffic", title: "Traffic of all ports", units: "kilobits/s",
		context: "ssmonitor.traffic", typ: "area", priority: 59990, multiplier: 8, divisor: 1000,
	}
}

func newPortCharts(number uint16) *portCharts {
	port := strconv.Itoa(int(number))
	return &portCharts{
		traffic: chart{
			id: "ssmonitor.port_" + port + "_traffic", port: port, title: "Traffic", units: "kilobits/s",
			context: "ssmonitor.port_traffic", typ: "area", priority: 60000, multiplier: 8, divisor: 1000,
		},
		packets: chart{
			id: "ssmonitor.port_" + port + "_packets", port: port, title: "Packets", units: "packets/s",
			context: "ssmonitor.port_packets", typ: "line", priority: 60001, multiplier: 1, divisor: 1,
		},
	}
}

// define appends the chart's definition. Defining a chart again revives it if
// it was obsolete, and updates its title, family and labels.
func (c *chart) define(dst []byte, label string, seconds int) []byte {
	dst = c.appendChart(dst, label, seconds, "")
	if c.port != "" {
		dst = appendCommand(dst, "CLABEL", "port", c.port, labelSource)
		if label != "" { // Netdata does not allow an empty label
			dst = appendCommand(dst, "CLABEL", "name", label, labelSource)
		}
		dst = append(dst, "CLABEL_COMMIT\n"...)
	}
	divisor := strconv.Itoa(c.divisor)
	dst = appendCommand(dst, "DIMENSION", "received", "received", "incremental", strconv.Itoa(c.multiplier), divisor)
	dst = appendCommand(dst, "DIMENSION", "sent", "sent", "incremental", strconv.Itoa(-c.multiplier), divisor)
	return append(dst, '\n')
}

// labelSource is "auto": the plugin set the label. Netdata 1.37 crashes on a
// CLABEL without a source.
const labelSource = "1"

// appendChart appends the CHART line. The label is part of title and family as
// well, since the dashboard of Netdata 1 does not show labels.
func (c *chart) appendChart(dst []byte, label string, seconds int, options string) []byte {
	title, family := c.title, "all ports"
	if c.port != "" {
		family = "port " + c.port
		title += " of port " + c.port
	}
	if label != "" {
		family += " " + label
		title += " (" + label + ")"
	}
	return appendCommand(dst, "CHART", c.id, "", title, c.units, family, c.context, c.typ,
		strconv.Itoa(c.priority), strconv.Itoa(seconds), options, "ssmonitor.plugin", "nftables")
}

// update appends the totals, or empty values if one of them decreased: without
// these Netdata would spread the next difference over the time before. If the
// previous value is missing, or since is 0, Netdata uses the time of arrival.
func (c *chart) update(dst []byte, since int64, received, sent uint64) []byte {
	decreased := c.received.advance(received)
	decreased = c.sent.advance(sent) || decreased
	dst = append(dst, "BEGIN '"...)
	dst = append(dst, c.id...)
	dst = append(dst, '\'')
	if decreased {
		c.continuous = false
		return append(dst, "\nSET 'received' = ''\nSET 'sent' = ''\nEND\n\n"...)
	}
	if c.continuous && since > 0 {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, since, 10)
	}
	c.continuous = true
	dst = append(dst, "\nSET 'received' = "...)
	dst = strconv.AppendInt(dst, c.received.value(), 10)
	dst = append(dst, "\nSET 'sent' = "...)
	dst = strconv.AppendInt(dst, c.sent.value(), 10)
	return append(dst, "\nEND\n\n"...)
}

// series is a total as Netdata sees it, which never decreases. The agent's own
// totals decrease only if it has lost its state and counts from 0 again. Netdata
// would take a decrease from just below 2^32 for an overflow and chart the
// difference. So the decrease is added to all later totals, and the report in
// which it appears has no value, since the traffic of that cycle is unknown.
type series struct {
	last, base uint64
}

// advance takes the next total and reports whether it decreased.
func (s *series) advance(total uint64) (decreased bool) {
	if total < s.last {
		s.base += s.last - total
		decreased = true
	}
	s.last = total
	return decreased
}

// value returns the total for Netdata, which counts in int64.
func (s *series) value() int64 {
	return int64(min(s.base+s.last, math.MaxInt64))
}

// appendCommand appends a line of quoted fields.
func appendCommand(dst []byte, keyword string, fields ...string) []byte {
	dst = append(dst, keyword...)
	for _, field := range fields {
		dst = append(dst, " '"...)
		dst = append(dst, cleanField(field)...)
		dst = append(dst, '\'')
	}
	return append(dst, '\n')
}

// maxField is the maximum length of a field in bytes. A CHART line of such
// fields stays far below the 15,360 bytes that Netdata 1.37 accepts.
const maxField = 200

// cleanField returns text as Netdata reads it as a single word between single
// quotes. Netdata has no escapes, so quotes and backslashes are replaced. So are
// <, > and &, because dashboards put titles into HTML, and everything without a
// glyph, such as control characters and marks that change the direction of text,
// because it would deceive the reader.
func cleanField(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r), strings.ContainsRune("'\"`\\<>&", r):
			return '_'
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxField {
		return text
	}
	end := maxField
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.TrimSpace(text[:end])
}
