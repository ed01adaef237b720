package netdata

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ssmonitor/internal/characters"
)

// chart is one chart.
type chart struct {
	id         string
	port       string // empty: several ports
	title      string
	family     string
	units      string
	context    string
	typ        string // area or line
	priority   int    // the lower, the higher on the dashboard
	dimensions []series

	live    bool   // Netdata has it
	shown   string // the title as Netdata has it
	updated int    // cycle of the last value
}

// series is a dimension of a chart: a value, or a total of which Netdata calculates the
// rate.
//
// A total as Netdata sees it never decreases. The agent's own totals decrease only if it
// has lost its state and counts from 0 again. Netdata would take a decrease from just
// below 2^32 for an overflow and chart the difference. So the decrease is added to all
// later totals, and the report in which it appears has no value, since the traffic of
// that cycle is unknown.
type series struct {
	id       string
	absolute bool // a value that is shown as it is; otherwise a total
	// Netdata multiplies a value by the multiplier and divides it by the divisor.
	multiplier, divisor int

	last, base uint64
}

// receivedAndSent returns the dimensions of traffic. What is sent is drawn below zero.
func receivedAndSent(multiplier, divisor int) []series {
	return []series{
		{id: "received", multiplier: multiplier, divisor: divisor},
		{id: "sent", multiplier: -multiplier, divisor: divisor},
	}
}

// advance takes the next value and reports whether a total decreased.
func (s *series) advance(value uint64) (decreased bool) {
	if value < s.last && !s.absolute {
		s.base += s.last - value
		decreased = true
	}
	s.last = value
	return decreased
}

// value returns the value for Netdata, which counts in int64.
func (s *series) value() int64 { return int64(min(s.base+s.last, math.MaxInt64)) }

// define writes the chart's definition. Defining a chart again revives it if
// it was obsolete, and updates its labels.
func (c *chartWriter) define(ch *chart, label string) {
	ch.live, ch.shown = true, ch.title
	if !c.labels {
		ch.shown = strings.Replace(ch.title, " a port", " port "+ch.port, 1)
		if label != "" {
			ch.shown += " (" + label + ")"
		}
	}
	c.writeChart(ch, "")
	if ch.port != "" && c.labels {
		c.command("CLABEL", "port", ch.port, labelSource)
		if label != "" { // Netdata does not allow an empty label
			c.command("CLABEL", "name", label, labelSource)
		}
		c.command("CLABEL_COMMIT")
	}
	for i := range ch.dimensions {
		d := &ch.dimensions[i]
		algorithm := "incremental"
		if d.absolute {
			algorithm = "absolute"
		}
		c.command("DIMENSION", d.id, d.id, algorithm, strconv.Itoa(d.multiplier), strconv.Itoa(d.divisor))
	}
	c.buffer = append(c.buffer, '\n')
}

// retire writes that charts are obsolete.
func (c *chartWriter) retire(charts ...*chart) {
	for _, ch := range charts {
		ch.live = false
		c.writeChart(ch, "obsolete")
	}
	c.buffer = append(c.buffer, '\n')
}

func (c *chartWriter) writeChart(ch *chart, options string) {
	c.command("CHART", ch.id, "", ch.shown, ch.units, ch.family, ch.context, ch.typ,
		strconv.Itoa(ch.priority), strconv.Itoa(c.seconds), options, PluginName, "nftables")
}

// update writes the values of the dimensions, or empty ones if a total decreased:
// without these Netdata would spread the next difference over the time before. If the
// previous cycle had no value, or c.since is 0, Netdata uses the time of arrival.
func (c *chartWriter) update(ch *chart, values ...uint64) {
	decreased := false
	for i, value := range values {
		decreased = ch.dimensions[i].advance(value) || decreased
	}
	c.writeValues(ch, !decreased)
}

// writeValues writes the values of the dimensions, or that they are not known.
func (c *chartWriter) writeValues(ch *chart, known bool) {
	c.buffer = append(append(append(c.buffer, "BEGIN '"...), ch.id...), '\'')
	if known {
		if ch.updated == c.cycle-1 && c.since > 0 {
			c.buffer = strconv.AppendInt(append(c.buffer, ' '), c.since, 10)
		}
		ch.updated = c.cycle
	}
	for i := range ch.dimensions {
		c.buffer = append(append(append(c.buffer, "\nSET '"...), ch.dimensions[i].id...), "' = "...)
		if known {
			c.buffer = strconv.AppendInt(c.buffer, ch.dimensions[i].value(), 10)
		} else {
			c.buffer = append(c.buffer, "''"...)
		}
	}
	c.buffer = append(c.buffer, "\nEND\n\n"...)
}

// labelSource is "auto": the plugin set the label. Netdata 1.37 crashes on a
// CLABEL without a source.
const labelSource = "1"

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

// command writes a line of quoted fields.
func (c *chartWriter) command(keyword string, fields ...string) {
	c.buffer = append(c.buffer, keyword...)
	for _, field := range fields {
		c.buffer = append(append(append(c.buffer, " '"...), cleanField(field)...), '\'')
	}
	c.buffer = append(c.buffer, '\n')
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
		case r == utf8.RuneError, characters.Hidden(r), strings.ContainsRune("'\"`\\<>&", r):
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
