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
	"ssmonitor/internal/health"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

// metered is a Source whose results the test sets.
type metered struct {
	report   *accounting.Report
	err      error
	status   accounting.Status
	month    *usage.Month
	problems []health.Problem
	readings atomic.Int64
}

func (m *metered) SavedReport(context.Context) (*accounting.Report, error) {
	m.readings.Add(1)
	return m.report, m.err
}

func (m *metered) Status() accounting.Status { return m.status }

func (m *metered) Problems() []health.Problem { return m.problems }

func (m *metered) Month(context.Context) (*usage.Month, error) {
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
	report := sample.Report()
	report.Ports[1].TCP.In.Earlier = accounting.Count{Packets: 2, Bytes: 100} // carol's
	return &metered{
		report: report,
		status: accounting.Status{
			LastRead: sample.Noon, ReadDuration: 450 * time.Microsecond, Reinstalls: 2, Resets: 3, Uncertain: 2500 * time.Millisecond,
			SaveFailures: 1, LastSave: sample.Noon.Add(-time.Second), Ports: 4,
		},
		month: &usage.Month{
			Start: start,
			Rows: []usage.Row{
				row("alice", 20000, accounting.TCP, 40, 2), row("alice", 20000, accounting.UDP, 2, 1),
				row("carol, who had it before", 20000, accounting.TCP, 5, 6), row("", 65535, accounting.TCP, 0, 7),
				row("", 0, accounting.TCP, 8, 9), // forgotten
			},
		},
	}
}

// goVersion is the label of build_info that changes with the toolchain.
var goVersion = runtime.Version()

func sampleMetrics(source SavedReadings, names bool) *Metrics {
	addresses, err := connections.ParseLimits([]string{"3", "alice=1"})
	if err != nil {
		panic(err)
	}
	return NewMetrics(Options{
		Source: source, Interval: 2 * time.Second, Names: names, Version: "1.2.3",
		Limits: func() usage.Limits {
			return usage.Limits{Default: 100e9, Clients: map[string]uint64{"alice": 50e9, "carol, who had it before": 0}}
		},
		AddressLimits: func() usage.Limits { return addresses },
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
	blind.problems = []health.Problem{{ID: health.Table}, {ID: health.Saves}}
	for _, c := range []struct {
		name   string
		source *metered
		names  bool
		format expfmt.Format
	}{
		{"metrics.prom", sampleMetered(), true, textFormat},
		{"metrics.openmetrics", sampleMetered(), true, openMetricsFormat},
		{"metrics_no_names.prom", sampleMetered(), false, textFormat},
		{"metrics_blind.prom", blind, true, textFormat},
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
		page := metricsPage(t, sampleMetrics(sampleMetered(), names), textFormat)
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
func TestMetricsEscapeNames(t *testing.T) {
	for _, name := range []string{`quote " and \ slash`, "line\nbreak", "漢字 é", `a="b",c="d"} 7`, "not UTF-8 \xff"} {
		source := sampleMetered()
		source.report.Ports[1].Port.Name = name
		page := metricsPage(t, sampleMetrics(source, true), textFormat)
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

// TestMetricsTellFaultsApart has one fault at a time.
func TestMetricsTellFaultsApart(t *testing.T) {
	for name, set := range map[string]func(*accounting.Status){
		"read":   func(s *accounting.Status) { s.LastError = accounting.ErrNoTable },
		"repair": func(s *accounting.Status) { s.RepairError = accounting.ErrNoTable },
		"save":   func(s *accounting.Status) { s.LastSaveError = syscall.ENOSPC },
	} {
		source := sampleMetered()
		set(&source.status)
		page := metricsPage(t, sampleMetrics(source, true), textFormat)
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
		if got, want := strings.ReplaceAll(string(content), goVersion, "go1.x"), metricsPage(t, metrics, textFormat); got != want {
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

// BenchmarkMetrics renders a scrape.
func BenchmarkMetrics(b *testing.B) {
	for _, ports := range []int{3, 1000, 10000} {
		source := &metered{report: sample.ManyPorts(ports), month: &usage.Month{}}
		for i := range source.report.Ports {
			port := &source.report.Ports[i].Port
			port.Name = fmt.Sprintf("client %d", i)
			source.month.Rows = append(source.month.Rows, usage.Row{Client: port.Name, Port: port.Number, In: accounting.Count{Bytes: 7}})
		}
		metrics := sampleMetrics(source, true)
		for name, format := range map[string]expfmt.Format{"text": textFormat, "OpenMetrics": openMetricsFormat} {
			b.Run(fmt.Sprintf("ports=%d/%s", ports, name), func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					page, err := metrics.render(b.Context(), variant{format, true})
					if err != nil {
						b.Fatal(err)
					}
					size = page.size
				}
				b.ReportMetric(float64(size), "bytes/page")
			})
		}
	}
}
