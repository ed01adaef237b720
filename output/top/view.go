package top

import (
	"fmt"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/terminal"
)

// view returns the lines of the window, none wider than it.
func (m *model) view() []textLine {
	height := m.height
	var lines []textLine
	foot := " q quit  ? help  / filter  Enter details  Space pause  Left Right sort"
	switch {
	case m.help:
		lines, foot = helpLines(), " q quit  any other key: back"
		lines = lines[:min(len(lines), max(0, height-1))]
	case m.detail != nil:
		body := m.detailBody()
		lines = append(m.head(m.width), body[m.detail.first:min(len(body), m.detail.first+m.page)]...)
		foot = " q back  Up Down scroll  Space pause  ? help"
	default:
		lines = m.table()
	}
	if m.typing {
		foot = " filter: " + m.charset.Text(m.filter) + "_  Enter keep  Esc remove"
	}
	for len(lines) < height-1 {
		lines = append(lines, nil)
	}
	if height > 0 {
		lines = append(lines[:height-1:height-1], textLine{{foot, styleFaint}})
	}
	for i, line := range lines {
		lines[i] = line.fit(m.width)
	}
	return lines
}

// table returns the head and the rows that fit.
func (m *model) table() []textLine {
	l := layoutOf(m.width, m.rows, m.charset)
	lines := append(m.head(m.width), l.head().styled(styleReverse, m.width))
	if len(m.rows) == 0 {
		return append(lines, plain(m.emptyText()))
	}
	selected := m.row()
	for i := m.first; i < min(m.first+m.page, len(m.rows)); i++ {
		c := &m.rows[i]
		line := l.line(c, m.history.sparkline(c.label, m.shown.at, l.sparkline, m.levels))
		if i == selected {
			line = line.selected(m.width)
		}
		lines = append(lines, line)
	}
	return lines
}

// selected marks the line also where a terminal can't show it in reverse.
func (l textLine) selected(width int) textLine {
	taken := 0
	marked := make(textLine, len(l), len(l)+1)
	for i, span := range l {
		taken += terminal.Width(span.Text)
		marked[i] = textSpan{span.Text, styleReverse}
	}
	marked[0].Text = ">" + marked[0].Text[margin:]
	return append(marked, textSpan{strings.Repeat(" ", max(0, width-taken)), styleReverse})
}

func (m *model) emptyText() string {
	switch s := &m.shown; {
	case s.report == nil && s.err == nil:
		return " waiting for the agent"
	case s.report == nil:
		return ""
	case len(s.clients) == 0:
		return " no port is counted"
	}
	return " no client matches the filter"
}

// head returns the lines above the table.
func (m *model) head(width int) []textLine {
	s := &m.shown
	first := textLine{{" ssmonitor top", styleBold}, {Text: "  " + m.host}}
	if !s.at.IsZero() {
		first = append(first, textSpan{Text: s.at.Format("  15:04:05")})
	}
	first = append(first, textSpan{"  " + s.rates(), styleBold})
	lines := []textLine{first, m.counts()}
	switch {
	case s.err != nil:
		lines = append(lines, faultLines(terminal.Line(s.err), width)...)
	case s.usageErr != nil:
		lines = append(lines, faultLines("usage: "+terminal.Line(s.usageErr), width)...)
	}
	if len(s.problems) > 0 {
		since := s.problems[0].Since.In(s.at.Location()).Format("since 2006-01-02 15:04: ")
		lines = append(lines, faultLines(since+health.Summary(s.problems), width)...)
	}
	return lines
}

// faultLines shows all of what is wrong.
func faultLines(text string, width int) []textLine {
	lines := wrap(text, max(1, width-margin), styleAlarming)
	for i := range lines {
		lines[i] = append(plain(strings.Repeat(" ", margin)), lines[i]...)
	}
	return lines
}

func (s *snapshot) rates() string {
	var in, out accounting.Rate
	known := s.report != nil && s.err == nil && s.report.Interval > 0
	if known {
		in, out = s.report.Total.In.Rate, s.report.Total.Out.Rate
	}
	return fmt.Sprintf("in %s/s  out %s/s", rateText(in, known), rateText(out, known))
}

// counts returns the line with numbers of clients, ports and connections, and how
// the table is arranged.
func (m *model) counts() textLine {
	s := &m.shown
	var texts []string
	if s.report != nil {
		texts = append(texts, terminal.Count(len(s.clients), "client"), terminal.Count(len(s.report.Ports), "port"))
	}
	connections, known := 0, false
	for i := range s.clients {
		c := &s.clients[i].connections
		connections += int(c.Established)
		known = known || c.Known
	}
	if known {
		texts = append(texts, terminal.Count(connections, "connection"))
	}
	line := plain(" " + strings.Join(texts, ", ") + "  by " + columns[m.by].name)
	if m.reversed {
		line = append(line, textSpan{Text: ", reversed"})
	}
	if m.filter != "" {
		line = append(line, textSpan{Text: "  filter: "}, textSpan{m.charset.Text(m.filter), styleBold})
	}
	if m.paused {
		line = append(line, textSpan{Text: "  "}, textSpan{"PAUSED", styleReverse})
	}
	return line
}

// helpLines explain the view.
func helpLines() []textLine {
	text := ` Clients by what they use now. In is what clients send to the server.

 IN/s OUT/s  bytes per second in the agent's last interval
 TODAY MONTH bytes in both directions together
 LIMIT       the part of the monthly limit (warn) that is used
 CONN ADDR   established TCP connections, and the addresses they come from;
             3+: at least, since addresses on several ports may be the same
 -           not known

 Up Down PgUp PgDn Home End   select a client
 Enter                        its ports, its hours of today, and for root who
                              is connected; Esc or q: back
 Left Right                   sort by the next column; or by a letter:
    r rate     i in      o out          n name
    t today    m month   l limit        c connections   a addresses
                              the same letter again: the other way round
 /                            show only names and ports with a text
 Space p                      pause, and go on
 Esc                          remove the filter, then the selection
 q Ctrl-C                     quit      Ctrl-Z  stop until fg`
	var lines []textLine
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, plain(line))
	}
	return lines
}
