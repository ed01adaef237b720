package endtoend_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
)

// The form of `usage --format json` and of GET /v1/usage, as far as tests read it.
type (
	usageAnswer struct {
		Total   usageSum
		Periods []struct {
			Start, End time.Time
			Clients    []usageClient
		}
		Gaps []struct {
			Since, Until time.Time
			usageSum
		}
		Limits []struct {
			Client string
			Used   uint64 `json:"used_bytes"`
			Limit  uint64 `json:"limit_bytes"`
			Over   bool
		}
	}
	usageClient struct {
		Client string
		Ports  []int
		usageSum
	}
	usageSum struct {
		Bytes   uint64
		In, Out accounting.Count
	}
)

// clients returns what each client used in all periods together.
func (a *usageAnswer) clients() map[string]traffic {
	clients := make(map[string]traffic)
	for _, period := range a.Periods {
		for _, client := range period.Clients {
			sum := clients[client.Client]
			clients[client.Client] = traffic{in: sum.in.Plus(client.In), out: sum.out.Plus(client.Out)}
		}
	}
	return clients
}

// settings writes a configuration file and returns its path.
func (p product) settings(t *testing.T, lines string) (path string) {
	t.Helper()
	path = filepath.Join(p.directory, "config.yaml")
	testkit.ReplaceFile(t, path, lines)
	return path
}

// usage returns the answer of `ssmonitor usage --format json`.
func (p product) usage(t *testing.T, arguments ...string) (answer usageAnswer) {
	t.Helper()
	text := p.succeed(t, append([]string{"usage", "--format", "json"}, arguments...)...)
	decodeUsage(t, text, &answer)
	return answer
}

func decodeUsage(t *testing.T, text string, answer *usageAnswer) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		t.Fatalf("the usage is no JSON: %v\n%s", err, text)
	}
}

// get asks the agent on its socket.
func (p product) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	status, body, err := p.request(path)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

func (p product) request(path string) (status int, body string, err error) {
	client := http.Client{Timeout: patience, Transport: serving.NewTransport(p.socket(), nil)}
	response, err := client.Get("http://ssmonitor" + path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// waitUsage waits until the saved usage is that of the clients.
func (p product) waitUsage(t *testing.T, want map[string]traffic) {
	t.Helper()
	eventually(t, func() error {
		run := begin(t, p.ssmonitor(nil, "usage", "--socket", "", "--format", "json"))
		if status := run.wait(t); status != 0 {
			return fmt.Errorf("usage ended with status %d: %s", status, &run.stderr)
		}
		var answer usageAnswer
		decodeUsage(t, run.stdout.String(), &answer)
		if got := answer.clients(); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the usage is %v, want %v", got, want)
		}
		return nil
	})
}

// expectUsage checks every format of `ssmonitor usage` and the views, read by
// Debian's sqlite3. The words of prefix run the programs as another user.
func (p product) expectUsage(t *testing.T, prefix []string, want map[string]traffic) {
	t.Helper()
	format := func(name string) string {
		arguments := []string{"usage", "--format", name}
		if prefix != nil {
			arguments = append(arguments, "--socket", "") // which this host has no group for
		}
		run := begin(t, p.ssmonitor(slices.Clone(prefix), arguments...))
		if status := run.wait(t); status != 0 || run.stderr.String() != "" {
			t.Errorf("%s ended with status %d:\n%s", run, status, &run.stderr)
		}
		return run.stdout.String()
	}
	var answer usageAnswer
	decodeUsage(t, format("json"), &answer)
	answer.expect(t, "json", want)
	expectEqual(t, "csv", usageOfCSV(t, format("csv")), want)
	expectEqual(t, "html", usageOfPage(t, format("html")), onlyBytes(want))
	table := format("table")
	for client, sum := range want {
		line := regexp.MustCompile(`(?m)^` + client + ` .*$`).FindString(table)
		for _, bytes := range []uint64{sum.in.Bytes, sum.out.Bytes, sum.in.Bytes + sum.out.Bytes} {
			if number := tableBytes(bytes); !strings.Contains(line, " "+number) {
				t.Errorf("the table does not show %s, which is %d bytes, for %s:\n%s", number, bytes, client, table)
			}
		}
	}
	for _, view := range []string{"usage_hourly", "usage_daily", "usage_monthly"} {
		expectEqual(t, view, p.usageOfView(t, prefix, view), want)
	}
}

func (a *usageAnswer) expect(t *testing.T, what string, want map[string]traffic) {
	t.Helper()
	expectEqual(t, what, a.clients(), want)
	var total traffic
	for _, sum := range want {
		total.in, total.out = total.in.Plus(sum.in), total.out.Plus(sum.out)
	}
	if got := (traffic{in: a.Total.In, out: a.Total.Out}); got != total || a.Total.Bytes != total.in.Bytes+total.out.Bytes {
		t.Errorf("%s: the total is %+v, the clients together used %+v", what, a.Total, total)
	}
}

func expectEqual(t *testing.T, what string, got, want map[string]traffic) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: the usage is\n%v, want\n%v", what, got, want)
	}
}

func onlyBytes(clients map[string]traffic) map[string]traffic {
	bytes := make(map[string]traffic)
	for client, sum := range clients {
		bytes[client] = traffic{in: accounting.Count{Bytes: sum.in.Bytes}, out: accounting.Count{Bytes: sum.out.Bytes}}
	}
	return bytes
}

// tableBytes writes bytes as the table does, below a megabyte.
func tableBytes(bytes uint64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.2f kB", float64(bytes)/1000)
}

func usageOfCSV(t *testing.T, text string) map[string]traffic {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) == 0 {
		t.Fatalf("the usage is no CSV: %v\n%s", err, text)
	}
	clients := make(map[string]traffic)
	for _, line := range lines[1:] {
		field := func(name string) string { return line[slices.Index(lines[0], name)] }
		if field("type") != "client" {
			continue
		}
		sum := clients[field("client")]
		clients[field("client")] = traffic{
			in:  sum.in.Plus(accounting.Count{Bytes: parse(t, field("in_bytes")), Packets: parse(t, field("in_packets"))}),
			out: sum.out.Plus(accounting.Count{Bytes: parse(t, field("out_bytes")), Packets: parse(t, field("out_packets"))}),
		}
	}
	return clients
}

func parse(t *testing.T, text string) uint64 {
	t.Helper()
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

var pageClient = regexp.MustCompile(`<tr><th scope="row"><bdi>(.*?)</bdi>.*?<td data-value="(\d+)">.*?<td data-value="(\d+)">`)

// usageOfPage reads the bytes of the page, which has no packets.
func usageOfPage(t *testing.T, page string) map[string]traffic {
	t.Helper()
	clients := make(map[string]traffic)
	for _, found := range pageClient.FindAllStringSubmatch(page, -1) {
		clients[found[1]] = traffic{
			in: accounting.Count{Bytes: parse(t, found[2])}, out: accounting.Count{Bytes: parse(t, found[3])},
		}
	}
	return clients
}

// usageOfView asks Debian's sqlite3.
func (p product) usageOfView(t *testing.T, prefix []string, view string) map[string]traffic {
	t.Helper()
	words := append(slices.Clone(prefix), "sqlite3", "-readonly", "-separator", "\t", filepath.Join(p.stateDirectory(), "ssmonitor.db"),
		"select client, sum(bytes_in), sum(packets_in), sum(bytes_out), sum(packets_out) from "+view+" group by client")
	clients := make(map[string]traffic)
	for line := range strings.Lines(p.run(t, words[0], words[1:]...)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		clients[fields[0]] = traffic{
			in:  accounting.Count{Bytes: parse(t, fields[1]), Packets: parse(t, fields[2])},
			out: accounting.Count{Bytes: parse(t, fields[3]), Packets: parse(t, fields[4])},
		}
	}
	return clients
}

// expectSocketUsage checks GET /v1/usage.
func (p product) expectSocketUsage(t *testing.T, query url.Values, want map[string]traffic) {
	t.Helper()
	status, body := p.get(t, "/v1/usage?"+query.Encode())
	if status != http.StatusOK {
		t.Fatalf("GET /v1/usage answers %d: %s", status, body)
	}
	var answer usageAnswer
	decodeUsage(t, body, &answer)
	answer.expect(t, "GET /v1/usage", want)
}

// stateFile returns the path of a file of the ledger.
func (p product) stateFile(name string) string { return filepath.Join(p.stateDirectory(), name) }

// damage overwrites the middle of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	content := []byte(testkit.ReadFile(t, path))
	for i := len(content) / 10; i < len(content)*9/10; i++ {
		content[i] ^= 0xa5
	}
	testkit.WriteFile(t, path, string(content))
}
