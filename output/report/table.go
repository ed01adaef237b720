package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/units"
)

// The widths of the table in terminal cells. Two spaces separate the columns.
const (
	tableWidth  = 80
	nameWidth   = 24 // at most
	bytesWidth  = 9  // 999.99 GB
	shareWidth  = 6  // 100.0%
	barWidth    = 20 // at most
	columnSpace = "  "
)

// Colours of a terminal, by ECMA-48.
const (
	styleBold  = "\x1b[1m"
	styleFaint = "\x1b[2m"
	styleBar   = "\x1b[36m"
	styleOver  = "\x1b[1;31m"
	styleEnd   = "\x1b[0m"
)

// WriteTable writes the report as a table for terminals, at most 80 columns
// wide. If colored is set, it uses ANSI colours.
func WriteTable(w io.Writer, report *usage.Report, colored bool, charset terminal.Charset) error {
	t := &table{out: bufio.NewWriter(charset.Writer(w)), report: report, colored: colored, charset: charset}
	t.measure()
	t.write()
	if err := t.out.Flush(); err != nil {
		return fmt.Errorf("writing the usage: %w", err)
	}
	return nil
}

type table struct {
	out     *bufio.Writer
	report  *usage.Report
	colored bool
	charset terminal.Charset
	name    int // width of the column of names
	bar     int // width of the longest bar
}

// measure gives the names the width that they need, and the bars the rest.
func (t *table) measure() {
	t.name = len("CLIENT")
	for _, period := range t.report.Periods {
		for _, client := range period.Clients {
			t.name = max(t.name, min(nameWidth, terminal.Width(t.charset.Text(client.Label()))))
		}
		if len(period.Clients) > 1 {
			t.name = max(t.name, len(countClients(period.Clients)))
		}
	}
	taken := t.name + 3*bytesWidth + shareWidth + 5*len(columnSpace)
	t.bar = min(barWidth, tableWidth-taken)
}

func (t *table) write() {
	report := t.report
	title := "Usage, " + rangeText(report)
	if divided(report) {
		title = fmt.Sprintf("Usage by %s, %s", report.By, rangeText(report))
	}
	fmt.Fprintf(t.out, "%s (%s)\n", t.style(styleBold, title), zoneText(report))
	if len(report.Whole.Clients) == 0 {
		fmt.Fprintln(t.out, "\nNo usage is recorded for this time.")
	} else {
		fmt.Fprintf(t.out, "\n%s\n", t.style(styleBold, t.line("CLIENT", "RECEIVED", "SENT", "TOTAL", "SHARE")))
		for i := range report.Periods {
			t.writePeriod(&report.Periods[i])
		}
	}
	if divided(report) {
		t.writeSum("Total", report.Whole.In, report.Whole.Out, "")
	}
	t.writeLimits()
	for i, gap := range report.Gaps {
		if i == 0 {
			fmt.Fprintln(t.out, "\nHistory was lost here; this traffic is in the period in which it was read:")
		}
		fmt.Fprintf(t.out, "  %s\n", gapText(gap))
	}
}

func (t *table) writePeriod(period *usage.PeriodUsage) {
	several := divided(t.report)
	if several {
		fmt.Fprintf(t.out, "%s\n", t.style(styleFaint, spanText(period.Start, period.End)))
	}
	if len(period.Clients) == 0 {
		fmt.Fprintln(t.out, "no usage recorded")
	}
	var largest uint64
	for _, client := range period.Clients {
		if client.Others == 0 {
			largest = max(largest, client.Bytes())
		}
	}
	for _, client := range period.Clients {
		share := units.Share(period.Share(client))
		line := t.line(t.charset.Text(client.Label()), units.Bytes(client.In.Bytes), units.Bytes(client.Out.Bytes), units.Bytes(client.Bytes()), share)
		if t.report.Over(client, period) {
			line = t.style(styleOver, line)
		}
		bar := ""
		if client.Others == 0 {
			bar = units.Bar(client.Bytes(), largest, t.bar)
		}
		if bar != "" {
			line += columnSpace + t.style(styleBar, bar)
		}
		fmt.Fprintln(t.out, line)
	}
	if len(period.Clients) > 1 || several && len(period.Clients) > 0 {
		t.writeSum(countClients(period.Clients), period.In, period.Out, "100.0%")
	}
	if several {
		fmt.Fprintln(t.out)
	}
}

func (t *table) writeSum(label string, in, out accounting.Count, share string) {
	line := t.line(label, units.Bytes(in.Bytes), units.Bytes(out.Bytes), units.Bytes(in.Bytes+out.Bytes), share)
	fmt.Fprintln(t.out, t.style(styleBold, line))
}

// writeLimits lists the clients that are over their limit.
func (t *table) writeLimits() {
	if len(t.report.Limits) == 0 {
		return
	}
	if !slices.ContainsFunc(t.report.Limits, usage.LimitState.Over) {
		fmt.Fprintln(t.out, "\nNobody is over the monthly limit.")
		return
	}
	fmt.Fprintln(t.out, "\nOver the monthly limit:")
	for _, state := range t.report.Limits {
		if state.Over() {
			fmt.Fprintf(t.out, "  %s  %s  %s of %s\n", t.style(styleOver, terminal.PadRight(t.charset.Text(state.Client.Label()), t.name)),
				spanText(state.Start, state.End), units.Bytes(state.Used), units.RoundBytes(float64(state.Limit)))
		}
	}
}

// line aligns the columns; trailing spaces are removed.
func (t *table) line(name string, numbers ...string) string {
	var b strings.Builder
	b.WriteString(terminal.PadRight(name, t.name))
	for i, number := range numbers {
		width := bytesWidth
		if i == len(numbers)-1 {
			width = shareWidth
		}
		fmt.Fprintf(&b, "%s%*s", columnSpace, width, number)
	}
	return strings.TrimRight(b.String(), " ")
}

func (t *table) style(style, text string) string {
	if !t.colored || text == "" {
		return text
	}
	return style + text + styleEnd
}
