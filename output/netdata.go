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
// plugins (src/plugins.d/README.md in Netdata's repository), with those
// keywords only that every Netdata since 1.37 knows: a total chart and two
// charts a port, which come and go with the ports.
//
// Netdata makes the rates from the totals. A total of its own that falls it
// may take for the overflow of a 32-bit counter, and would show a rate that
// never was: see [series].
type Charts struct {
	out      io.Writer
	seconds  int
	total    *chart
	ports    map[uint16]*portCharts // those that are gone included
	shown    int                    // how many of ports are not gone
	previous time.Time              // of the report that was written last
	buffer   []byte
}

// portCharts is a port as Netdata knows it.
type portCharts struct {
	traffic, packets chart
	name             string // as the report has it
	label            string // as Netdata has it
	gone             bool
	written          time.Time // of the last report that had the port
}

// NewCharts returns charts that are updated every so many seconds and written
// to out, one Write a report.
func NewCharts(out io.Writer, seconds int) *Charts {
	return &Charts{out: out, seconds: seconds, ports: make(map[uint16]*portCharts)}
}

// Write writes the report's totals, and before them what has changed about the
// charts. A report of the same time as the last one tells nothing new and is
// passed over.
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
		c.buffer = c.total.announce(c.buffer, "", c.seconds)
	}
	c.buffer = c.total.update(c.buffer, since, report.Total.In.Total.Bytes, report.Total.Out.Total.Bytes)
	for i := range report.Ports {
		port := &report.Ports[i]
		charts := c.show(port.Port, report.Time)
		sum := port.Sum()
		c.buffer = charts.traffic.update(c.buffer, since, sum.In.Total.Bytes, sum.Out.Total.Bytes)
		c.buffer = charts.packets.update(c.buffer, since, sum.In.Total.Packets, sum.Out.Total.Packets)
	}
	if c.shown > len(report.Ports) {
		c.retire(report.Time)
	}
	if _, err := c.out.Write(c.buffer); err != nil {
		return fmt.Errorf("writing to Netdata: %w", err)
	}
	return nil
}

// Gap says that there was no report for this cycle: what comes next is not
// told as the continuation of what was before.
func (c *Charts) Gap() {
	if c.total == nil {
		return
	}
	c.total.continuous = false
	for _, charts := range c.ports {
		charts.interrupt()
	}
}

// microseconds is what Netdata is told to have passed since the last report,
// or 0 to let it take its own clock: where a cycle was missed, and where the
// clock of the reports must have been set.
func (c *Charts) microseconds(elapsed time.Duration) int64 {
	cycle := time.Duration(c.seconds) * time.Second
	if elapsed < cycle/2 || elapsed >= 2*cycle {
		return 0
	}
	return elapsed.Microseconds()
}

// show returns the port's charts, announced when they are new, have come back
// or have another name now.
func (c *Charts) show(port accounting.Port, now time.Time) *portCharts {
	charts, known := c.ports[port.Number]
	if !known {
		charts = newPortCharts(port.Number)
		c.ports[port.Number] = charts
	}
	charts.written = now
	if known && !charts.gone && charts.name == port.Name {
		return charts
	}
	if !known || charts.gone {
		c.shown++
	}
	charts.name, charts.label, charts.gone = port.Name, cleanField(port.Name), false
	c.buffer = charts.traffic.announce(c.buffer, charts.label, c.seconds)
	c.buffer = charts.packets.announce(c.buffer, charts.label, c.seconds)
	return charts
}

// retire tells Netdata that the charts of ports without a report are obsolete.
// Their series are kept: a port that comes back goes on from its total.
func (c *Charts) retire(now time.Time) {
	var gone []uint16
	for number, charts := range c.ports {
		if !charts.gone && !charts.written.Equal(now) {
			gone = append(gone, number)
		}
	}
	slices.Sort(gone)
	for _, number := range gone {
		charts := c.ports[number]
		charts.gone = true
		charts.interrupt()
		c.buffer = charts.traffic.appendChart(c.buffer, charts.label, c.seconds, "obsolete")
		c.buffer = charts.packets.appendChart(c.buffer, charts.label, c.seconds, "obsolete")
		c.buffer = append(c.buffer, '\n')
	}
	c.shown -= len(gone)
}

func (p *portCharts) interrupt() {
	p.traffic.continuous, p.packets.continuous = false, false
}

// chart is one chart with the dimensions received and sent.
type chart struct {
	id       string
	port     string // empty: all ports
	title    string // of all charts in the context
	units    string
	context  string
	kind     string // area or line
	priority int    // the lower, the higher on the dashboard
	// A value is multiplied by the multiplier and divided by the divisor;
	// what is sent is drawn below zero.
	multiplier, divisor int

	received, sent series
	continuous     bool // the last report had a value
}

func newTotalChart() *chart {
	return &chart{
		id: "ssmonitor.total_traffic", title: "Traffic of all ports", units: "kilobits/s",
		context: "ssmonitor.traffic", kind: "area", priority: 59990, multiplier: 8, divisor: 1000,
	}
}

func newPortCharts(number uint16) *portCharts {
	port := strconv.Itoa(int(number))
	return &portCharts{
		traffic: chart{
			id: "ssmonitor.port_" + port + "_traffic", port: port, title: "Traffic", units: "kilobits/s",
			context: "ssmonitor.port_traffic", kind: "area", priority: 60000, multiplier: 8, divisor: 1000,
		},
		packets: chart{
			id: "ssmonitor.port_" + port + "_packets", port: port, title: "Packets", units: "packets/s",
			context: "ssmonitor.port_packets", kind: "line", priority: 60001, multiplier: 1, divisor: 1,
		},
	}
}

// announce appends all that defines the chart. Said again, it revives a chart
// that was obsolete and changes title, family and labels.
func (c *chart) announce(dst []byte, label string, seconds int) []byte {
	dst = c.appendChart(dst, label, seconds, "")
	if c.port != "" {
		dst = appendCommand(dst, "CLABEL", "port", c.port, labelSource)
		if label != "" { // Netdata has no label without a value.
			dst = appendCommand(dst, "CLABEL", "name", label, labelSource)
		}
		dst = append(dst, "CLABEL_COMMIT\n"...)
	}
	divisor := strconv.Itoa(c.divisor)
	dst = appendCommand(dst, "DIMENSION", "received", "received", "incremental", strconv.Itoa(c.multiplier), divisor)
	dst = appendCommand(dst, "DIMENSION", "sent", "sent", "incremental", strconv.Itoa(-c.multiplier), divisor)
	return append(dst, '\n')
}

// labelSource is "auto": the plugin made the label. A CLABEL without a source
// takes Netdata 1.37 down.
const labelSource = "1"

// appendChart appends the CHART line. The label is in title and family too,
// since the dashboard of Netdata 1 shows those and no labels.
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
	return appendCommand(dst, "CHART", c.id, "", title, c.units, family, c.context, c.kind,
		strconv.Itoa(c.priority), strconv.Itoa(seconds), options, "ssmonitor.plugin", "nftables")
}

// update appends the totals, or where one fell that there is no value: without
// a word Netdata would spread what follows over the time before. Without a
// value just before, or with since 0, Netdata takes the time of arrival.
func (c *chart) update(dst []byte, since int64, received, sent uint64) []byte {
	fell := c.received.advance(received)
	fell = c.sent.advance(sent) || fell
	dst = append(dst, "BEGIN '"...)
	dst = append(dst, c.id...)
	dst = append(dst, '\'')
	if fell {
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

// series is a total as Netdata is told it: one that never falls. The agent's
// own never do either, but for one that has lost its state and counts from 0
// again. Netdata would take a fall from just below 2^32 for an overflow and
// chart the difference. So the fall is added to all that follows, and the
// report in which it shows has no value: what happened at it is not known.
type series struct {
	last, base uint64
}

// advance takes the next total and tells whether it fell.
func (s *series) advance(total uint64) (fell bool) {
	if total < s.last {
		s.base += s.last - total
		fell = true
	}
	s.last = total
	return fell
}

// value is the total for Netdata, which counts in int64.
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

// longestField bounds a field in bytes: a CHART line of the longest ones stays
// far below the 15,360 bytes that Netdata 1.37 takes.
const longestField = 200

// cleanField makes of any text one that stays a single word between single
// quotes. Netdata knows no escapes, so quotes and backslashes go; <, > and &
// go because dashboards put titles into HTML; and what has no glyph of its own,
// control characters and marks that turn the direction of text, because it
// would deceive whoever reads it.
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
	if len(text) <= longestField {
		return text
	}
	end := longestField
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.TrimSpace(text[:end])
}
