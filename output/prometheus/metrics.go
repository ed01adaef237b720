// Package prometheus writes metrics in Prometheus' text format and in OpenMetrics, for a
// handler of /metrics and for node_exporter's textfile collector.
package prometheus

import (
	"bufio"
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/health"
)

// SavedReadings are what the metrics are made of. Their methods are safe for
// concurrent use.
type SavedReadings interface {
	// SavedReport reads the counters anew and returns totals that are saved. The
	// metrics publish no others: a counter that stepped back by a little, since
	// a power cut took what was not saved, would look to Prometheus like a
	// reset, and be added whole. The report must not be changed once it is
	// returned.
	SavedReport(ctx context.Context) (*accounting.Report, error)
	// Status returns the state of the agent itself.
	Status() accounting.Status
	// Problems returns what the agent knows to be wrong.
	Problems() []health.Problem
	// Month returns the usage of the running month.
	Month(ctx context.Context) (*usage.Month, error)
}

// Options configure the metrics.
type Options struct {
	Source SavedReadings
	Limits func() usage.Limits // of the clients in a month
	// AddressLimits are those of the addresses that are connected to a port.
	AddressLimits func() usage.Limits
	Interval      time.Duration // at which the agent reads
	// Names adds the names of the clients as labels. Without them, the usage of
	// a month is by port, and the limits of clients with a name are omitted. A scraper
	// of the handler may renounce them.
	Names   bool
	Version string // of the agent
}

// Metrics are the metrics for Prometheus.
type Metrics struct {
	options Options
	process prometheus.Collector
}

// NewMetrics returns the metrics with the options.
func NewMetrics(options Options) *Metrics {
	return &Metrics{options: options, process: collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
}

// agentMetric is a metric of the agent itself, without labels.
type agentMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(status *accounting.Status, options *Options) float64
}

var agentMetrics = []agentMetric{
	{newAgentDesc("ports", "Ports that are counted."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return float64(s.Ports) }},
	{newAgentDesc("interval_seconds", "Time between two readings. Whoever deletes the table or resets counters costs what passes in at most two of them."), prometheus.GaugeValue,
		func(_ *accounting.Status, o *Options) float64 { return o.Interval.Seconds() }},
	{newAgentDesc("read_success", "Whether the last reading of the counters succeeded."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return isNil(s.LastError) }},
	{newAgentDesc("read_duration_seconds", "Duration of the last reading of the counters."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return s.ReadDuration.Seconds() }},
	{newAgentDesc("last_read_timestamp_seconds", "When the counters were last read."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return unixSeconds(s.LastRead) }},
	{newAgentDesc("repair_success", "Whether the table in the kernel was correct, or repaired, when it was last verified."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return isNil(s.RepairError) }},
	{newAgentDesc("ruleset_reinstalls_total", "Repairs of the table, after others deleted or changed it, since the agent started."), prometheus.CounterValue,
		func(s *accounting.Status, _ *Options) float64 { return float64(s.Reinstalls) }},
	{newAgentDesc("resets_total", "Counters that somebody else reset since the agent started."), prometheus.CounterValue,
		func(s *accounting.Status, _ *Options) float64 { return float64(s.Resets) }},
	{newAgentDesc("uncertain_seconds_total", "Time since the agent started whose traffic may be missing, at most, because others deleted or changed the table or reset counters."), prometheus.CounterValue,
		func(s *accounting.Status, _ *Options) float64 { return s.Uncertain.Seconds() }},
	{newAgentDesc("save_success", "Whether the last attempt to save the totals succeeded."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return isNil(s.LastSaveError) }},
	{newAgentDesc("save_failures_total", "Attempts to save the totals that failed since the agent started."), prometheus.CounterValue,
		func(s *accounting.Status, _ *Options) float64 { return float64(s.SaveFailures) }},
	{newAgentDesc("last_save_timestamp_seconds", "When the totals were last saved. The port's counters are of that moment or later, if nothing has changed since."), prometheus.GaugeValue,
		func(s *accounting.Status, _ *Options) float64 { return unixSeconds(s.LastSave) }},
}

var buildInfo = prometheus.NewDesc("ssmonitor_build_info",
	"The constant 1, with the version of the agent and of Go as labels.", []string{"version", "goversion"}, nil)

var problem = prometheus.NewDesc("ssmonitor_problem",
	"Whether the agent knows this to be wrong: ssmonitor check says since when, why, and what to do. A note impairs neither counting nor what is published.", []string{"id", "level"}, nil)

func newAgentDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("ssmonitor_"+name, help, nil, nil)
}

func isNil(err error) float64 {
	if err == nil {
		return 1
	}
	return 0
}

// unixSeconds returns 0 for the zero time, as is usual for an event that has not
// happened yet.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

// reading is what one scrape publishes.
type reading struct {
	*Options
	names  bool
	report *accounting.Report // nil: unknown
	status accounting.Status
	month  *usage.Month // nil: unknown
	// problems is what the agent knows to be wrong.
	problems []health.Problem
}

// read takes a reading. What can't be read or saved is omitted, and the metrics of
// the agent say so.
func (m *Metrics) read(ctx context.Context) *reading {
	report, _ := m.options.Source.SavedReport(ctx)
	return m.readingOf(ctx, report)
}

// readingOf completes a report, or none.
func (m *Metrics) readingOf(ctx context.Context, report *accounting.Report) *reading {
	month, _ := m.options.Source.Month(ctx)
	return &reading{Options: &m.options, names: m.options.Names, report: report, month: month, status: m.options.Source.Status(), problems: m.options.Source.Problems()}
}

// write writes the metrics of the reading in the format, followed by those of further
// collectors. It writes them in parts: of thousands of ports they are large.
//
// The metrics of the agent and its process come from client_golang. Those of the
// ports, of which there may be many, are written without it: at 1,000 ports that
// takes a thirtieth of the time.
func (r *reading) write(out io.Writer, format expfmt.Format, further ...prometheus.Collector) error {
	w := seriesWriter{out: bufio.NewWriter(out), openMetrics: format.FormatType() == expfmt.TypeOpenMetrics, names: r.names}
	if r.report != nil {
		w.ports(r.report)
		w.connections(r.report, r.AddressLimits())
	}
	if r.month != nil {
		w.month(r.month, r.report, r.Limits())
	}
	// A registry of its own: the global one has metrics that others register.
	registry := prometheus.NewRegistry()
	for _, collector := range append(further, r) {
		if err := registry.Register(collector); err != nil {
			return err
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	encoder := expfmt.NewEncoder(w.out, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return err
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

// Describe implements [prometheus.Collector].
func (r *reading) Describe(descs chan<- *prometheus.Desc) {
	descs <- buildInfo
	descs <- problem
	for _, metric := range agentMetrics {
		descs <- metric.desc
	}
}

// Collect implements [prometheus.Collector].
func (r *reading) Collect(metrics chan<- prometheus.Metric) {
	metrics <- constMetric(buildInfo, prometheus.GaugeValue, 1, strings.ToValidUTF8(r.Version, "\uFFFD"), runtime.Version())
	for _, metric := range agentMetrics {
		metrics <- constMetric(metric.desc, metric.kind, metric.value(&r.status, r.Options))
	}
	for id, level := range health.Levels() {
		present := 0.0
		if slices.ContainsFunc(r.problems, func(p health.Problem) bool { return p.ID == id }) {
			present = 1
		}
		metrics <- constMetric(problem, prometheus.GaugeValue, present, string(id), string(level))
	}
}

func constMetric(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) prometheus.Metric {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return metric
}
