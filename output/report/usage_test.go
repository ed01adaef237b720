package report

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/output/api"
)

func TestUsageGolden(t *testing.T) {
	month := sample.UsageReport(t, sample.WideUsage(), usage.Request{}, "500GB", "alice=300GB")
	days := sample.UsageReport(t, sample.WideUsage(), usage.Request{By: "day", Since: "2026-11-09", Until: "2026-11-11", Top: "3"})
	empty := sample.UsageReport(t, &sample.Usage{Zone: time.UTC}, usage.Request{Since: "2026-01", Until: "2026-02"}, "1GB")
	tests := []struct {
		name   string
		report *usage.Report
	}{{"month", month}, {"days", days}, {"empty", empty}}
	for _, test := range tests {
		var table, colored, csv, json, html strings.Builder
		err := errors.Join(
			WriteTable(&table, test.report, false, terminal.Unicode), WriteTable(&colored, test.report, true, terminal.Unicode),
			WriteCSV(&csv, test.report), api.WriteUsage(&json, test.report), WriteHTML(&html, test.report))
		if err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, "usage_"+test.name+".txt", table.String())
		testkit.Golden(t, "usage_"+test.name+".ansi", colored.String())
		testkit.Golden(t, "usage_"+test.name+".csv", csv.String())
		testkit.Golden(t, "usage_"+test.name+".json", json.String())
		testkit.Golden(t, "usage_"+test.name+".html", html.String())
		if plain := withoutStyles.Replace(colored.String()); plain != table.String() {
			t.Errorf("%s: colours change the text:\n%s", test.name, plain)
		}
	}
}

var withoutStyles = strings.NewReplacer(styleBold, "", styleFaint, "", styleBar, "", styleOver, "", styleEnd, "")

func TestUsageTableAligns(t *testing.T) {
	for _, request := range []usage.Request{{}, {By: "day"}, {By: "day", Top: "2", Sort: "name"}} {
		var b strings.Builder
		if err := WriteTable(&b, sample.UsageReport(t, sample.WideUsage(), request, "1GB"), false, terminal.Unicode); err != nil {
			t.Fatal(err)
		}
		column := -1 // where the total ends
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if width := uniseg.StringWidth(line); width > 80 {
				t.Errorf("%d cells: %q", width, line)
			}
			end := -1
			if strings.HasPrefix(line, "CLIENT") {
				column = strings.Index(line, "TOTAL") + len("TOTAL")
			} else if i := strings.Index(line, "%"); i > 0 {
				end = uniseg.StringWidth(line[:i+1]) - shareWidth - len(columnSpace)
			}
			if end >= 0 && end != column {
				t.Errorf("the total ends at cell %d, want %d: %q", end, column, line)
			}
		}
		if column < 0 {
			t.Errorf("no header in\n%s", b.String())
		}
	}
}

// TestMarks has a client that is over its limit in one of two months, and another one
// with the label of a client that is over it.
func TestMarks(t *testing.T) {
	source := &sample.Usage{Zone: time.UTC}
	for i, bytes := range []uint64{1e9, 5e9} {
		start := time.Date(2026, time.October+time.Month(i), 3, 0, 0, 0, 0, time.UTC)
		source.Rows = append(source.Rows, usage.Row{
			Start: start, End: start.AddDate(0, 0, 1), Client: "alice", Port: 20000, In: accounting.Count{Packets: 1, Bytes: bytes},
		}, usage.Row{
			Start: start, End: start.AddDate(0, 0, 1), Client: "port 20001", Port: 20002, In: accounting.Count{Packets: 1, Bytes: 2e9},
		}, usage.Row{
			Start: start, End: start.AddDate(0, 0, 1), Port: 20001, In: accounting.Count{Packets: 1, Bytes: 4e9},
		})
	}
	for _, by := range []string{"month", "day"} {
		var b strings.Builder
		report := sample.UsageReport(t, source, usage.Request{By: by, Since: "2026-10"}, "3GB")
		if err := WriteTable(&b, report, true, terminal.Unicode); err != nil {
			t.Fatal(err)
		}
		marked := 0
		for line := range strings.Lines(b.String()) {
			if !strings.Contains(line, "%") || !strings.Contains(line, "alice") && !strings.Contains(line, "port 20001") {
				continue
			}
			over := strings.Contains(line, "5.00 GB") || strings.Contains(line, "4.00 GB")
			if strings.HasPrefix(line, styleOver) != over {
				t.Errorf("by %s: want those over 3 GB marked and no others:\n%s", by, b.String())
			}
			if over {
				marked++
			}
		}
		if marked != 3 {
			t.Errorf("by %s: got %d lines over the limit, want 3:\n%s", by, marked, b.String())
		}
		for _, client := range report.Whole.Clients {
			if got := report.Over(client, &report.Whole); got != (client.Client != "port 20001") {
				t.Errorf("the page: %s of %s: got %t", client.Label(), client.Client, got)
			}
		}
	}
}

func TestUsageSpanText(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 0, 0, 0, berlin)
	}
	twice := at(10, 25, 2)
	tests := []struct {
		start, end time.Time
		want       string
	}{
		{at(11, 1, 0), at(12, 1, 0), "2026-11"},
		{at(12, 1, 0), at(13, 1, 0), "2026-12"},
		{at(10, 25, 0), at(10, 26, 0), "2026-10-25"},
		{at(1, 31, 0), at(2, 28, 0), "2026-01-31 to 2026-02-27"},
		{at(11, 15, 0), at(12, 15, 0), "2026-11-15 to 2026-12-14"},
		{at(11, 24, 16), at(11, 24, 17), "2026-11-24 16:00"},
		{at(11, 24, 23), at(11, 25, 0), "2026-11-24 23:00"},
		{at(11, 24, 16), at(11, 24, 18), "2026-11-24 16:00 to 2026-11-24 18:00"},
		{twice, twice.Add(time.Hour), "2026-10-25 02:00" + twice.Format("-07:00")},
	}
	for _, test := range tests {
		if got := spanText(test.start, test.end); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestUsageFormatsAgree compares the CSV and the JSON with the report, by other
// parsers than ours.
func TestUsageFormatsAgree(t *testing.T) {
	source := sample.WideUsage()
	source.Rows[0].Out.Bytes = 1<<63 + 1 // which a float64 can't hold
	report := sample.UsageReport(t, source, usage.Request{By: "day", Top: "4"})
	var text strings.Builder
	if err := WriteCSV(&text, report); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var sum, clients uint64
	for _, line := range lines[1:] {
		if _, err := time.Parse(time.RFC3339, line[2]); err != nil {
			t.Error(err)
		}
		var in, out, both uint64
		if line[0] == "gap" {
			continue
		}
		clients++
		if _, err := fmt.Sscan(line[5]+" "+line[7]+" "+line[9], &in, &out, &both); err != nil || in+out != both {
			t.Errorf("%q: %v", line, err)
		}
		sum += both
	}
	if sum != report.Whole.Bytes() {
		t.Errorf("the CSV has %d bytes in %d lines, want %d", sum, clients, report.Whole.Bytes())
	}
	text.Reset()
	if err := api.WriteUsage(&text, report); err != nil {
		t.Fatal(err)
	}
	var value struct {
		Total   struct{ Bytes uint64 }
		Periods []struct {
			Clients []struct{ Bytes uint64 }
			Others  struct{ Bytes uint64 }
		}
		Gaps []struct{ Bytes uint64 }
	}
	if err := json.Unmarshal([]byte(text.String()), &value); err != nil {
		t.Fatal(err)
	}
	sum = 0
	for _, period := range value.Periods {
		sum += period.Others.Bytes
		for _, client := range period.Clients {
			sum += client.Bytes
		}
	}
	if sum != report.Whole.Bytes() || value.Total.Bytes != sum || len(value.Gaps) != 2 || value.Gaps[0].Bytes != 9876555555 {
		t.Errorf("the JSON has %d bytes and in total %d, want %d; gaps %v", sum, value.Total.Bytes, report.Whole.Bytes(), value.Gaps)
	}
}

func TestUsageCSVIsNoFormula(t *testing.T) {
	for _, name := range []string{"=1+1", "+1", "-1", "@SUM(1)", "＝1"} {
		if got := csvText(name); got != "'"+name {
			t.Errorf("%q becomes %q", name, got)
		}
	}
	for _, name := range []string{"", "alice", "a=b", "علی"} {
		if got := csvText(name); got != name {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}

func TestScaleTop(t *testing.T) {
	for largest, want := range map[uint64]float64{0: 4, 1: 1, 5: 6, 7: 8, 9: 10, 10: 10, 11: 12, 61e9: 80e9, 99e9: 100e9, 130e9: 160e9} {
		if got := scaleTop(largest); got != want || got < float64(largest) {
			t.Errorf("%d: got %v, want %v", largest, got, want)
		}
	}
}

// TestUsageChartStacks checks that the parts of each bar are stacked without gaps
// and that their total height matches the bytes of the period.
func TestUsageChartStacks(t *testing.T) {
	report := sample.UsageReport(t, sample.WideUsage(), usage.Request{})
	chart := newHTMLChart(report, clientColors(report))
	var largest uint64
	for i := range report.Course {
		largest = max(largest, report.Course[i].Bytes())
	}
	if len(chart.Bars) != 30 || len(chart.Legend) != colorCount+1 {
		t.Fatalf("%d bars, %d series", len(chart.Bars), len(chart.Legend))
	}
	for i, bar := range chart.Bars {
		var bytes uint64
		var sum float64
		foot := float64(chartHeight)
		for _, part := range bar.Parts {
			bytes += part.bytes
			sum += part.Height
			if math.Abs(part.Y+part.Height-foot) > 0.02 {
				t.Errorf("bar %d: a part ends at %v, want %v", i, part.Y+part.Height, foot)
			}
			foot = part.Y
		}
		if want := float64(report.Course[i].Bytes()) / scaleTop(largest) * chartHeight; bytes != report.Course[i].Bytes() || math.Abs(sum-want) > 0.1 {
			t.Errorf("bar %d: %d bytes in a height of %v, want %d in %v", i, bytes, sum, report.Course[i].Bytes(), want)
		}
		if gap := i == 11 || i == 9; bar.Gap != gap || strings.Contains(bar.Title, "history was lost") != gap {
			t.Errorf("bar %d: gap %v, %q", i, bar.Gap, bar.Title)
		}
	}
}

func TestUsageHandler(t *testing.T) {
	source := sample.WideUsage()
	now := func() time.Time { return time.Date(2026, 11, 24, 16, 17, 24, 0, sample.Tehran) }
	get := func(path string) (int, string) {
		answer := httptest.NewRecorder()
		api.NewUsageHandler(source, func() usage.Limits { return usage.Limits{} }, now, testkit.Quiet()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer.Code, answer.Body.String()
	}
	code, got := get("/v1/usage?by=day&since=2026-11-09&until=2026-11-11&top=3")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, got)
	}
	testkit.Golden(t, "usage_days.json", got)
	if code, got := get("/v1/usage?client=alice&client=20008&port=20000&sort=name&last=7d"); code != http.StatusOK || strings.Count(got, `"client":`) != 2 {
		t.Errorf("%d %s", code, got)
	}
	if code, got := get("/v1/usage?port=20000&port=20001"); code != http.StatusOK {
		t.Errorf("of two ports: %d %s", code, got)
	}
	for path, want := range map[string]string{
		"/v1/usage?since=2026-13":      `since "2026-13": month 13: want 01 to 12`,
		"/v1/usage?client=alicia":      `client "alicia" is not known: the nearest of 11 are alice`,
		"/v1/usage?format=csv":         `parameter "format": want one of by, since, until, last, client, port, top, sort`,
		"/v1/usage?by=day&by=hour":     `parameter "by": want it once`,
		"/v1/usage?by=%zz":             `invalid URL escape "%zz"`,
		"/v1/usage?since=a%0ab&last=1": "last names the whole time",
	} {
		if code, got := get(path); code != http.StatusBadRequest || !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	source.Err = errors.New("the database is damaged")
	if code, got := get("/v1/usage"); code != http.StatusServiceUnavailable || !strings.Contains(got, "damaged") {
		t.Errorf("%d %q", code, got)
	}
}

func FuzzUsageParameters(f *testing.F) {
	f.Add("by=day&since=2026-11&client=alice&port=20000")
	f.Add("last=7d&top=3&sort=%zz;")
	f.Add("client=%1b[2J&client=%e2%80%ae&by=%0a&since=%ff&%00=1")
	f.Add("port=20000&port=0&top=-1&until=2026-11-24T16:00:00%2B14:00")
	source := sample.WideUsage()
	f.Fuzz(func(t *testing.T, query string) {
		request := httptest.NewRequest(http.MethodGet, "/v1/usage", nil)
		request.URL.RawQuery = query
		answer := httptest.NewRecorder()
		api.NewUsageHandler(source, func() usage.Limits { return usage.Limits{} }, time.Now, testkit.Quiet()).ServeHTTP(answer, request)
		body := answer.Body.String()
		switch answer.Code {
		case http.StatusOK:
			if _, err := api.ReadUsage(strings.NewReader(body)); err != nil {
				t.Errorf("%q: %v", query, err)
			}
		case http.StatusBadRequest: // a terminal shows the answer as it is, on one line
			text, ended := strings.CutSuffix(body, "\n")
			if !ended || strings.ContainsFunc(text, testkit.CommandsTerminal) || !utf8.ValidString(text) {
				t.Errorf("%q: %q", query, body)
			}
		default:
			t.Errorf("%q: %d %q", query, answer.Code, body)
		}
	})
}

func TestWriteClients(t *testing.T) {
	var b, asJSON strings.Builder
	clients := []usage.Client{
		{Port: 20001, Name: "王小明", Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		{Port: 20000, Name: "alice", Until: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)},
		{Port: 20000, Name: "dave", Since: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)},
		{Port: 443},
	}
	given := slices.Clone(clients)
	if err := WriteClients(&b, clients, terminal.Unicode); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "clients.txt", b.String())
	if err := WriteClientsJSON(&asJSON, clients); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "clients.json", asJSON.String())
	if !slices.Equal(given, clients) {
		t.Error("the list was changed")
	}
	b.Reset()
	if err := WriteClients(&b, nil, terminal.Unicode); err != nil || b.String() != "No client is known yet.\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
	asJSON.Reset()
	if err := WriteClientsJSON(&asJSON, nil); err != nil || asJSON.String() != "{\n  \"clients\": []\n}\n" {
		t.Errorf("got %q, %v", asJSON.String(), err)
	}
}

// TestWriteClientsOfARange has the ports of a mistaken range, and as many as may be clients.
func TestWriteClientsOfARange(t *testing.T) {
	var clients []usage.Client
	for port := range uint16(30) {
		clients = append(clients, usage.Client{Port: 100 + port})
	}
	clients[13].Name = "alice" // between 13 and 16
	var b strings.Builder
	if err := WriteClients(&b, clients, terminal.Unicode); err != nil || strings.Count(b.String(), "\n") != 31 {
		t.Errorf("got %v and\n%s", err, &b)
	}
	clients = append(clients, usage.Client{Port: 130}, usage.Client{Port: 132})
	b.Reset()
	if err := WriteClients(&b, clients, terminal.Unicode); err != nil || !strings.HasSuffix(b.String(), "\n    113  alice\n114-130\n    132\n") {
		t.Errorf("got %v and\n%s", err, &b)
	}
}
