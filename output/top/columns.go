package top

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/units"
)

// unknown stands for every value that is not known.
const unknown = "-"

// The widths of the columns. A blank separates them.
const (
	margin       = 1
	bytesWidth   = 9 // 999.99 GB
	minName      = 12
	maxName      = 32
	minSparkline = 8
)

// column is what the table can be sorted by. All but the name and the rate of both
// directions are shown.
type column struct {
	name  string
	key   string // sorts by the column
	title string // empty: it is not shown as a column of numbers
	width int
	cell  func(*client) string
	value func(*client) (value float64, known bool) // nil: the name
}

// columns are the columns from left to right. In a narrow window the last ones are left
// out.
var columns = []column{
	{name: "name", key: "n"},
	{"in", "i", "IN/s", bytesWidth, func(c *client) string { return rateText(c.in, c.ratesKnown) },
		func(c *client) (float64, bool) { return c.in.Bytes, c.ratesKnown }},
	{"out", "o", "OUT/s", bytesWidth, func(c *client) string { return rateText(c.out, c.ratesKnown) },
		func(c *client) (float64, bool) { return c.out.Bytes, c.ratesKnown }},
	{name: "rate", key: "r", value: func(c *client) (float64, bool) { return c.in.Bytes + c.out.Bytes, c.ratesKnown }},
	{"today", "t", "TODAY", bytesWidth, func(c *client) string { return c.today.String() },
		func(c *client) (float64, bool) { return float64(c.today.bytes), c.today.known }},
	{"month", "m", "MONTH", bytesWidth, func(c *client) string { return c.month.String() },
		func(c *client) (float64, bool) { return float64(c.month.bytes), c.month.known }},
	{"limit", "l", "LIMIT", 6, limitText, (*client).share},
	{"connections", "c", "CONN", 5, func(c *client) string { return countText(c.connections.Established, c.connections.Known) },
		func(c *client) (float64, bool) { return float64(c.connections.Established), c.connections.Known }},
	{"addresses", "a", "ADDR", 4, addressText,
		func(c *client) (float64, bool) { return float64(c.connections.Addresses), c.connections.Known }},
}

// columnOf returns the index of the column that a key sorts by, or -1.
func columnOf(key string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.key == key })
}

func rateText(rate accounting.Rate, known bool) string {
	if !known {
		return unknown
	}
	return units.Rate(rate.Bytes)
}

func (a amount) String() string {
	if !a.known {
		return unknown
	}
	return units.Bytes(a.bytes)
}

func limitText(c *client) string {
	share, known := c.share()
	switch {
	case !known:
		return unknown
	case share >= 10:
		return ">999%"
	}
	return units.Share(share)
}

func countText(count int32, known bool) string {
	if !known {
		return unknown
	}
	return strconv.Itoa(int(count))
}

func addressText(c *client) string {
	text := countText(c.connections.Addresses, c.connections.Known)
	if c.addressesAtLeast {
		text += "+"
	}
	return text
}

// layout is what fits into a window.
type layout struct {
	name, sparkline int
	columns         []column
	charset         terminal.Charset
}

// layoutOf divides the width of the window. A width of 0 is unlimited.
func layoutOf(width int, rows []client, charset terminal.Charset) layout {
	l := layout{name: len("CLIENT"), charset: charset}
	l.columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return c.title == "" })
	for i := range rows {
		l.name = max(l.name, terminal.Width(charset.Text(rows[i].label)))
	}
	if width == 0 {
		return l
	}
	l.name = min(l.name, maxName)
	rest := func() int {
		rest := width - margin
		for _, c := range l.columns {
			rest -= 1 + c.width
		}
		return rest
	}
	for len(l.columns) > 1 && rest() < min(l.name, minName) {
		l.columns = l.columns[:len(l.columns)-1]
	}
	room := rest()
	if room >= minName+1+minSparkline {
		l.name = min(max(l.name, minName), room-1-minSparkline)
		l.sparkline = min(room-1-l.name, historyBins)
	} else {
		l.name = max(1, room)
	}
	return l
}

// head returns the head of the table.
func (l layout) head() textLine {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", margin) + terminal.PadRight("CLIENT", l.name))
	for _, c := range l.columns {
		fmt.Fprintf(&b, " %*s", c.width, c.title)
	}
	return plain(b.String())
}

// line returns the line of a client. The name is a span of its own: a terminal may
// disagree about its width.
func (l layout) line(c *client, sparkline string) textLine {
	name := strings.Repeat(" ", margin) + terminal.PadRight(l.charset.Text(c.label), l.name)
	var numbers strings.Builder
	for _, column := range l.columns {
		fmt.Fprintf(&numbers, " %*s", column.width, column.cell(c))
	}
	style := stylePlain
	if c.limit.Limit > 0 && c.limit.Over {
		style = styleAlarming
	}
	line := textLine{{name, style}, {numbers.String(), style}}
	if sparkline != "" {
		line = append(line, textSpan{" " + sparkline, styleChart})
	}
	return line
}
