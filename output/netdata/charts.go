// Package netdata is Netdata's external plugin: it asks the agent and prints charts in
// the protocol of external plugins.
package netdata

import (
	"cmp"
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
type Charts struct {
	out      io.Writer
	seconds  int
	maxPorts int // that have charts of their own
	total    *chart
	ports    map[uint16]*portCharts // retired ones included
	active   int                    // how many of ports are not retired

	unlabelled bool         // for a Netdata without labels, whose titles name port and client instead
	others     *otherCharts // nil until there are too many ports
	previous   time.Time    // time of the last report written
	buffer     []byte
}

// AllPorts is the number of ports with charts of their own that does not limit
// them.
const AllPorts = math.MaxInt

// portCharts is a port as Netdata knows it.
type portCharts struct {
	pair
	addresses addressChart
	name      string    // as in the report
	label     string    // the name as Netdata has it
	fresh     bool      // the report written last is the first since the charts were defined
	retired   bool      // the charts were marked as obsolete
	written   time.Time // time of the last report with this port
}

// pair is the two charts of the same traffic.
type pair struct {
	traffic, packets chart
}

// NewCharts returns charts with that many seconds between two values. At most
// maxPorts ports have charts of their own, those with the largest totals. Each
// report is written to out with a single call of Write.
func NewCharts(out io.Writer, seconds, maxPorts int) *Charts {
	return &Charts{out: out, seconds: seconds, maxPorts: maxPorts, ports: make(map[uint16]*portCharts)}
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
	shown := c.shown(report.Ports)
	for _, port := range shown {
		charts := c.activate(port.Port, report.Time)
		c.buffer = charts.update(c.buffer, since, port.Sum())
		c.buffer = charts.addresses.update(c.buffer, since, port.Connections, charts.label, c.seconds)
	}
	if c.active > len(shown) {
		c.retire(report.Time)
	}
	c.writeOthers(report, since)
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
		charts.addresses.continuous = false
	}
	if c.others != nil {
		c.others.interrupt()
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
		charts = newPortCharts(port.Number, c.unlabelled)
		c.ports[port.Number] = charts
	}
	charts.written, charts.fresh = now, !known || charts.retired
	if !charts.fresh && charts.name == port.Name {
		return charts
	}
	if charts.fresh {
		c.active++
	}
	charts.name, charts.label, charts.retired = port.Name, cleanField(port.Name), false
	charts.addresses.defined = false
	c.buffer = charts.define(c.buffer, charts.label, c.seconds)
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
		c.buffer = charts.retire(c.buffer, c.seconds)
		c.buffer = charts.addresses.retire(c.buffer, c.seconds)
	}
	c.active -= len(numbers)
}

func (p *pair) define(dst []byte, label string, seconds int) []byte {
	return p.packets.define(p.traffic.define(dst, label, seconds), label, seconds)
}

func (p *pair) retire(dst []byte, seconds int) []byte {
	return append(p.packets.appendChart(p.traffic.appendChart(dst, seconds, "obsolete"), seconds, "obsolete"), '\n')
}

func (p *pair) update(dst []byte, since int64, sum accounting.Traffic) []byte {
	dst = p.traffic.update(dst, since, sum.In.Total.Bytes, sum.Out.Total.Bytes)
	return p.packets.update(dst, since, sum.In.Total.Packets, sum.Out.Total.Packets)
}

func (p *pair) interrupt() {
	p.traffic.continuous, p.packets.continuous = false, false
}

// chart is one chart with the dimensions received and sent.
type chart struct {
	id       string
	port     string // empty: several ports
	title    string
	named    string // a title that names the port, for a Netdata without labels
	family   string
	units    string
	context  string
	typ      string // area or line
	priority int    // the lower, the higher on the dashboard
	// Netdata multiplies a value by the multiplier, negated for sent so that it
	// is drawn below zero, and divides it by the divisor.
	multiplier, divisor int

	received, sent series
	continuous     bool // the previous cycle had a value
	unlabelled     bool // see Charts
}

func newTotalChart() *chart {
	return &chart{
		id: "ssmonitor.total_traffic", title: "Traffic of all ports", family: "all ports", units: "kilobits/s",
		context: "ssmonitor.traffic", typ: "area", priority: 59990, multiplier: 8, divisor: 1000,
	}
}

func newPortCharts(number uint16, unlabelled bool) *portCharts {
	port := strconv.Itoa(int(number))
	pair := newPair("port", " of a port", "ports", 60000)
	pair.traffic.id, pair.traffic.port = "ssmonitor.port_"+port+"_traffic", port
	pair.packets.id, pair.packets.port = "ssmonitor.port_"+port+"_packets", port
	charts := &portCharts{pair: pair, addresses: newAddressChart(port)}
	for _, chart := range [...]*chart{&charts.traffic, &charts.packets, &charts.addresses.chart} {
		chart.unlabelled = unlabelled
	}
	return charts
}

// newPair returns the charts that belong to ssmonitor.NAME_traffic and
// ssmonitor.NAME_packets, as contexts and as ids.
func newPair(name, of, family string, priority int) pair {
	traffic, packets := "ssmonitor."+name+"_traffic", "ssmonitor."+name+"_packets"
	return pair{
		traffic: chart{
			id: traffic, context: traffic, title: "Traffic" + of, family: family, units: "kilobits/s",
			typ: "area", priority: priority, multiplier: 8, divisor: 1000,
		},
		packets: chart{
			id: packets, context: packets, title: "Packets" + of, family: family, units: "packets/s",
			typ: "line", priority: priority + 1, multiplier: 1, divisor: 1,
		},
	}
}

// define appends the chart's definition. Defining a chart again revives it if
// it was obsolete, and updates its labels.
func (c *chart) define(dst []byte, label string, seconds int) []byte {
	dst = c.begin(dst, label, seconds)
	divisor := strconv.Itoa(c.divisor)
	dst = appendCommand(dst, "DIMENSION", "received", "received", "incremental", strconv.Itoa(c.multiplier), divisor)
	dst = appendCommand(dst, "DIMENSION", "sent", "sent", "incremental", strconv.Itoa(-c.multiplier), divisor)
	return append(dst, '\n')
}

// begin appends the definition without the dimensions.
func (c *chart) begin(dst []byte, label string, seconds int) []byte {
	if c.unlabelled {
		c.named = strings.Replace(c.title, " a port", " port "+c.port, 1)
		if label != "" {
			c.named += " (" + label + ")"
		}
	}
	dst = c.appendChart(dst, seconds, "")
	if c.port != "" && !c.unlabelled {
		dst = appendCommand(dst, "CLABEL", "port", c.port, labelSource)
		if label != "" { // Netdata does not allow an empty label
			dst = appendCommand(dst, "CLABEL", "name", label, labelSource)
		}
		dst = append(dst, "CLABEL_COMMIT\n"...)
	}
	return dst
}

// knowsLabels reports whether a Netdata knows the keyword CLABEL. A version that is
// unknown is taken for a recent one: each of them puts its version into the plugin's
// environment.
func knowsLabels(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > 1 || minor >= 32
}

// labelSource is "auto": the plugin set the label. Netdata 1.37 crashes on a
// CLABEL without a source.
const labelSource = "1"

func (c *chart) appendChart(dst []byte, seconds int, options string) []byte {
	return appendCommand(dst, "CHART", c.id, "", cmp.Or(c.named, c.title), c.units, c.family, c.context, c.typ,
		strconv.Itoa(c.priority), strconv.Itoa(seconds), options, "ssmonitor.plugin", "nftables")
}

const noValues = "\nSET 'received' = ''\nSET 'sent' = ''\nEND\n\n"

// skip appends no values.
func (p *pair) skip(dst []byte) []byte {
	for _, chart := range [...]*chart{&p.traffic, &p.packets} {
		chart.continuous = false
		dst = append(dst, "BEGIN '"+chart.id+"'"+noValues...)
	}
	return dst
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
		return append(dst, noValues...)
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

// maxField is the maximum length of a field in bytes. Only a title and a label can be as
// long, so that a line stays below the 1,024 bytes that Netdata before 1.37 accepts.
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
		case r == utf8.RuneError, accounting.Hidden(r), strings.ContainsRune("'\"`\\<>&", r):
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
