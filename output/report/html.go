package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/units"
)

var (
	//go:embed page/usage.html
	usagePage string
	//go:embed page/usage.css
	usageStyle string
	//go:embed page/usage.js
	usageScript string

	pageTemplate = template.Must(template.New("usage").Parse(usagePage))
)

// The values that the template of the page shows.
type (
	htmlPage struct {
		Style                 template.CSS
		Script                template.JS
		StyleHash, ScriptHash string

		Range, Zone, By, Sorted string
		In, Out, Total          string
		Count                   int
		Over                    []htmlLimit
		Gaps                    []string
		Chart                   *htmlChart
		Clients                 []htmlClient
		Others                  *htmlClient
		Periods                 []htmlPeriod
		Written, WrittenText    string
	}
	htmlClient struct {
		Name, Ports              string
		In, Out, Total, Share    string
		InBytes, OutBytes, Bytes uint64
		Bar                      float64 // percent of the largest
		Class                    string
		Over                     bool
	}
	htmlLimit  struct{ Client, Month, Used, Limit string }
	htmlPeriod struct {
		Time, In, Out, Total string
		Empty                bool
	}
)

// WriteHTML writes the report as one page that needs no network: its style
// and script are part of it, and its content security policy allows nothing
// else. The report should have a course for the chart.
func WriteHTML(w io.Writer, report *usage.Report) error {
	page := htmlPage{
		Style: template.CSS(usageStyle), Script: template.JS(usageScript),
		StyleHash: sourceHash(usageStyle), ScriptHash: sourceHash(usageScript),
		Range: rangeText(report), Zone: zoneText(report), By: string(report.By), Sorted: string(report.Sort),
		In: units.Bytes(report.Whole.In.Bytes), Out: units.Bytes(report.Whole.Out.Bytes), Total: units.Bytes(report.Whole.Bytes()),
		Written:     report.Now.Format(time.RFC3339),
		WrittenText: report.Now.Format(minuteLayout),
	}
	colors := clientColors(report)
	page.addClients(report, colors)
	page.Chart = newHTMLChart(report, colors)
	if divided(report) {
		for _, period := range report.Periods {
			page.Periods = append(page.Periods, htmlPeriod{
				spanText(period.Start, period.End),
				units.Bytes(period.In.Bytes), units.Bytes(period.Out.Bytes), units.Bytes(period.Bytes()),
				len(period.Clients) == 0,
			})
		}
	}
	for _, gap := range report.Gaps {
		page.Gaps = append(page.Gaps, gapText(gap))
	}
	out := bufio.NewWriterSize(w, 64<<10)
	if err := pageTemplate.Execute(out, page); err != nil {
		return fmt.Errorf("writing the usage as HTML: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the usage as HTML: %w", err)
	}
	return nil
}

// sourceHash returns the hash by which a content security policy allows an inline
// style or script (https://www.w3.org/TR/CSP3/#grammardef-hash-source).
func sourceHash(text string) string {
	hash := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(hash[:])
}

func (page *htmlPage) addClients(report *usage.Report, colors map[usage.ClientID]string) {
	for _, state := range report.Limits {
		if state.Over() {
			page.Over = append(page.Over, htmlLimit{
				state.Client.Label(), spanText(state.Start, state.End),
				units.Bytes(state.Used), units.RoundBytes(float64(state.Limit)),
			})
		}
	}
	var largest uint64
	for _, client := range report.Whole.Clients {
		page.Count += max(1, client.Others)
		if client.Others == 0 {
			largest = max(largest, client.Bytes())
		}
	}
	for _, client := range report.Whole.Clients {
		line := htmlClient{
			Name: client.Label(),
			In:   units.Bytes(client.In.Bytes), Out: units.Bytes(client.Out.Bytes), Total: units.Bytes(client.Bytes()),
			Share:   units.Share(report.Whole.Share(client)),
			InBytes: client.In.Bytes, OutBytes: client.Out.Bytes, Bytes: client.Bytes(),
			Bar:  barPercent(client.Bytes(), largest),
			Over: report.Over(client, &report.Whole),
		}
		if client.Others > 0 {
			page.Others = &line
			continue
		}
		if client.Client != "" {
			line.Ports = portList(client.Ports)
		}
		line.Class = cmp.Or(colors[client.ID()], othersClass)
		page.Clients = append(page.Clients, line)
	}
}

func barPercent(value, largest uint64) float64 {
	if largest == 0 {
		return 0
	}
	return math.Round(float64(value)/float64(largest)*1e4) / 100
}
