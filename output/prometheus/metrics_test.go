package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

// metered is a Source whose results the test sets.
type metered struct {
	report   *accounting.Report
	err      error
	status   accounting.Status
	month    *usage.Records
	readings atomic.Int64
}

func (m *metered) Report(context.Context) (*accounting.Report, error) {
	m.readings.Add(1)
	return m.report, m.err
}

func (m *metered) Status() accounting.Status { return m.status }

func (m *metered) Month(context.Context) (*usage.Records, error) {
	if m.month == nil {
		return nil, errors.New("nothing has been saved yet")
	}
	return m.month, nil
}

func sampleMetered() *metered {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	row := func(client string, port uint16, protocol accounting.Protocol, in, out uint64) usage.Row {
		return usage.Row{
			Start: start, End: start.AddDate(0, 1, 0), Client: client, Port: port, Protocol: protocol,
			In: accounting.Count{Bytes: in}, Out: accounting.Count{Bytes: out},
		}
	}
	return &metered{
		report: sample.Report(),
		status: accounting.Status{
			LastRead: sample.Noon, ReadDuration: 450 * time.Microsecond, Reinstalls: 2, Resets: 3, Uncertain: 2500 * time.Millisecond,
			SaveFailures: 1, LastSave: sample.Noon.Add(-time.Second), Ports: 4,
		},
		month: &usage.Records{
			Query: usage.Query{By: usage.ByMonth, Since: start},
			Rows: []usage.Row{
				row("alice", 20000, accounting.TCP, 40, 2), row("alice", 20000, accounting.UDP, 2, 1),
				row("carol, who had it before", 20000, accounting.TCP, 5, 6), row("", 65535, accounting.TCP, 0, 7),
			},
		},
	}
}

// goVersion is the label of build_info that changes with the toolchain.
var goVersion = runtime.Version()

func sampleMetrics(source Agent, names bool) *Metrics {
	addresses, err := connections.ParseLimits([]string{"3", "alice=1"})
	if err != nil {
		panic(err)
	}
	return NewMetrics(Options{
		Source: source, Interval: 2 * time.Second, Names: names, Version: "1.2.3",
		Limits:        usage.Limits{Default: 100e9, Clients: map[string]uint64{"alice": 50e9, "carol, who had it before": 0}},
		AddressLimits: addresses,
	})
}

func metricsPage(t testing.TB, metrics *Metrics, format expfmt.Format) string {
	t.Helper()
	var page strings.Builder
	if err := metrics.read(t.Context()).write(&page, format); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(page.String(), goVersion, "go1.x")
}

func TestMetricsPages(t *testing.T) {
	blind := sampleMetered()
	blind.report, blind.err, blind.month = nil, accounting.ErrNoTable, nil
	blind.status.LastError, blind.status.RepairError, blind.status.LastSaveError = accounting.ErrNoTable, accounting.ErrNoTable, errors.New("disk full")
	blind.status.LastSave = time.Time{}
	for _, c := range []struct {
		name   string
		source *metered
		names  bool
		format expfmt.Format
	}{
		{"metrics.prom", sampleMetered(), true, formats[0]},
		{"metrics.openmetrics", sampleMetered(), true, formats[1]},
		{"metrics_no_names.prom", sampleMetered(), false, formats[0]},
		{"metrics_blind.prom", blind, true, formats[0]},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.Golden(t, c.name, metricsPage(t, sampleMetrics(c.source, c.names), c.format))
		})
	}
}

// TestMetricsFollowTheConventions uses Prometheus' own lint, the newest in Go and
// the one of Debian's promtool.
func TestMetricsFollowTheConventions(t *testing.T) {
	for _, names := range []bool{true, false} {
		page := metricsPage(t, sampleMetrics(sampleMetered(), names), formats[0])
		problems, err := promlint.New(strings.NewReader(page)).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("names %t: %v, %v", names, problems, err)
		}
		testkit.Require(t, "promtool")
		command := exec.Command("promtool", "check", "metrics")
		command.Stdin = strings.NewReader(page)
		if output, err := command.CombinedOutput(); err != nil || len(output) > 0 {
			t.Errorf("names %t: promtool: %v\n%s", names, err, output)
		}
	}
}

// TestMetricsEscapeNames checks that no name breaks out of its label.
// Labels of Prometheus have line breaks as \n, so that a name can't add a sample.
func TestLabelsStayOnTheirLine(t *testing.T) {
	if got := string(appendLabelValue(nil, "a\"\\\nssmonitor_up 0\xff")); got != "a\\\"\\\\\\nssmonitor_up 0\ufffd" {
		t.Errorf("got %q", got)
	}
}

func TestMetricsEscapeNames(t *testing.T) {
	for _, name := range []string{`quote " and \ slash`, "line\nbreak", "漢字 é", `a="b",c="d"} 7`, "not UTF-8 \xff"} {
		source := sampleMetered()
		source.report.Ports[1].Port.Name = name
		page := metricsPage(t, sampleMetrics(source, true), formats[0])
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(page))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		found := false
		for _, metric := range families["ssmonitor_port_bytes_total"].Metric {
			for _, label := range metric.Label {
				found = found || label.GetName() == "name" && label.GetValue() == strings.ToValidUTF8(name, "\uFFFD")
			}
		}
		if !found {
			t.Errorf("%q is not in the page", name)
		}
	}
}

func (l leaving) Report(ctx context.Context) (*accounting.Report, error) {
	l.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.metered.Report(ctx)
}

// TestMetricsTellFaultsApart has one fault at a time.
func TestMetricsTellFaultsApart(t *testing.T) {
	for name, set := range map[string]func(*accounting.Status){
		"read":   func(s *accounting.Status) { s.LastError = accounting.ErrNoTable },
		"repair": func(s *accounting.Status) { s.RepairError = accounting.ErrNoTable },
		"save":   func(s *accounting.Status) { s.LastSaveError = syscall.ENOSPC },
	} {
		source := sampleMetered()
		set(&source.status)
		page := metricsPage(t, sampleMetrics(source, true), formats[0])
		for _, metric := range []string{"read", "repair", "save"} {
			want := 1
			if metric == name {
				want = 0
			}
			if line := fmt.Sprintf("\nssmonitor_%s_success %d\n", metric, want); !strings.Contains(page, line) {
				t.Errorf("only %s failed: want %q in\n%s", name, line, page)
			}
		}
	}
}

func TestMetricsFile(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "ssmonitor.prom")
	source := sampleMetered()
	metrics := sampleMetrics(source, true)
	if err := os.WriteFile(path, []byte("of a killed agent"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := NewFile(path, metrics)
	if err := file.RemoveStale(); err != nil {
		t.Fatal(err)
	}
	testkit.WantFiles(t, directory)
	for _, report := range []*accounting.Report{sample.Report(), nil} {
		if err := file.Write(t.Context(), report); err != nil {
			t.Fatal(err)
		}
		testkit.WantFiles(t, directory, "ssmonitor.prom")
		source.report = report
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.ReplaceAll(string(content), goVersion, "go1.x"), metricsPage(t, metrics, formats[0]); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if bytes.Contains(content, []byte("process_")) {
			t.Error("the file has metrics of the process, which node_exporter has too")
		}
	}
	if err := file.Remove(); err != nil {
		t.Fatal(err)
	}
	testkit.WantFiles(t, directory)
}

// BenchmarkMetrics renders a scrape, beside a bare writer of the same text.
func BenchmarkMetrics(b *testing.B) {
	for _, ports := range []int{3, 1000, 10000} {
		source := &metered{report: sample.ManyPorts(ports), month: &usage.Records{}}
		for i := range source.report.Ports {
			port := &source.report.Ports[i].Port
			port.Name = fmt.Sprintf("client %d", i)
			source.month.Rows = append(source.month.Rows, usage.Row{Client: port.Name, Port: port.Number, In: accounting.Count{Bytes: 7}})
		}
		metrics := sampleMetrics(source, true)
		for i, format := range formats {
			b.Run(fmt.Sprintf("ports=%d/%s", ports, [...]string{"text", "OpenMetrics"}[i]), func(b *testing.B) {
				b.ReportAllocs()
				var p page
				handler := &handler{metrics: metrics}
				used := processCPU(b)
				for b.Loop() {
					if err := handler.render(&p, metrics.read(b.Context()), format); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(p.size), "bytes/page")
				b.ReportMetric(float64((processCPU(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
			})
		}
		b.Run(fmt.Sprintf("ports=%d/bare", ports), func(b *testing.B) {
			b.ReportAllocs()
			var page []byte
			for b.Loop() {
				page = appendBare(page[:0], source.report)
			}
			b.ReportMetric(float64(len(page)), "bytes/page")
		})
	}
}

// processCPU returns the CPU time of the process.
func processCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var recorded syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &recorded); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(recorded.Utime.Nano() + recorded.Stime.Nano())
}

// appendBare writes the counters of the ports as text with no library.
func appendBare(page []byte, report *accounting.Report) []byte {
	for _, metric := range []string{"bytes", "packets"} {
		for i := range report.Ports {
			port := &report.Ports[i]
			for _, flow := range []struct {
				proto, direction string
				total            accounting.Count
			}{
				{"tcp", "in", port.TCP.In.Total}, {"tcp", "out", port.TCP.Out.Total},
				{"udp", "in", port.UDP.In.Total}, {"udp", "out", port.UDP.Out.Total},
			} {
				page = append(page, "ssmonitor_port_"...)
				page = append(page, metric...)
				page = append(page, `_total{direction="`...)
				page = append(page, flow.direction...)
				page = append(page, `",name="`...)
				page = append(page, port.Port.Name...)
				page = append(page, `",port="`...)
				page = strconv.AppendUint(page, uint64(port.Port.Number), 10)
				page = append(page, `",proto="`...)
				page = append(page, flow.proto...)
				page = append(page, `"} `...)
				value := flow.total.Bytes
				if metric == "packets" {
					value = flow.total.Packets
				}
				page = strconv.AppendFloat(page, float64(value), 'g', -1, 64)
				page = append(page, '\n')
			}
		}
	}
	return page
}
