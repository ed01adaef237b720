package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
)

// columns are the columns of the CSV. A line of type gap has its bytes in
// columns of its own, since they are also part of a client's line: the sum of a
// column counts nothing twice.
var columns = []string{
	"type", "start", "end", "client", "ports",
	"in_bytes", "in_packets", "out_bytes", "out_packets", "bytes",
	"gap_in_bytes", "gap_out_bytes",
}

// WriteCSV writes a header and then one line per period and client. The
// first column is the type of the line: client, others (the sum of the clients
// below the top ones), empty (a period without usage), or gap (a time whose
// history was lost). Numbers are exact, and times are RFC 3339.
func WriteCSV(w io.Writer, report *usage.Report) error {
	out := csv.NewWriter(w)
	lines := [][]string{columns}
	for _, period := range report.Periods {
		start, end := csvTime(period.Start), csvTime(period.End)
		if len(period.Clients) == 0 {
			lines = append(lines, csvLine("empty", start, end, "", "", accounting.Count{}, accounting.Count{}))
		}
		for _, client := range period.Clients {
			kind := "client"
			if client.Others > 0 {
				kind = "others"
			}
			lines = append(lines, csvLine(kind, start, end, csvText(client.Label()), portList(client.Ports), client.In, client.Out))
		}
	}
	for _, gap := range report.Gaps {
		lines = append(lines, []string{
			"gap", csvTime(gap.Since), csvTime(gap.Until), "", "", "", "", "", "", "",
			csvNumber(gap.In.Bytes), csvNumber(gap.Out.Bytes),
		})
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("writing the usage as CSV: %w", err)
	}
	return nil
}

func csvLine(kind, start, end, client, ports string, in, out accounting.Count) []string {
	return []string{
		kind, start, end, client, ports,
		csvNumber(in.Bytes), csvNumber(in.Packets), csvNumber(out.Bytes), csvNumber(out.Packets),
		csvNumber(in.Bytes + out.Bytes), "", "",
	}
}

func csvTime(t time.Time) string {
	if t.IsZero() {
		return "" // not known
	}
	return t.Format(time.RFC3339)
}

func csvNumber(n uint64) string { return strconv.FormatUint(n, 10) }

// csvText puts an apostrophe before a name that a spreadsheet would evaluate as a
// formula, as OWASP advises. Names come from configurations that others may
// write, and the file may be opened by whoever pays the bill.
func csvText(text string) string {
	text = terminal.Text(text)
	if text != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(text)[0]) {
		return "'" + text
	}
	return text
}
