package top

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/terminal"
)

// Once asks the agent once. It writes the table as plain text, with every client and the
// whole of each name, or one line of JSON as [Top.Stream] does. Without the usage the rest
// is still worth showing.
func (t *Top) Once(ctx context.Context, w io.Writer, asJSON bool, log *slog.Logger) error {
	m := t.newModel(true)
	report, problems, err := t.report(ctx)
	if err != nil {
		return err
	}
	m.latest.problems = problems
	m.observeReport(t.Now(), report, nil)
	today, month, err := t.usage(ctx)
	if err != nil {
		log.Warn("the usage is not known", "error", err)
	}
	m.observeUsage(t.Now(), today, month, err)
	m.shown.usageErr = nil // logged
	if asJSON {
		return m.writeJSON(w)
	}
	return m.writeTable(w)
}

// writeTable writes the whole table as plain text.
func (m *model) writeTable(w io.Writer) error {
	out := bufio.NewWriter(m.charset.Writer(w))
	for _, line := range m.head(unlimited) {
		fmt.Fprintln(out, line)
	}
	l := layoutOf(0, m.rows, m.charset)
	fmt.Fprintln(out, l.head())
	for i := range m.rows {
		fmt.Fprintln(out, l.line(&m.rows[i], ""))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// Stream writes a line of JSON once per interval until ctx ends. While the agent
// does not answer there are no lines; the log says why.
func (t *Top) Stream(ctx context.Context, w io.Writer, log *slog.Logger) error {
	ticks := time.NewTicker(t.Interval)
	defer ticks.Stop()
	var fault, usageFault health.Fault
	m := t.newModel(true)
	var usageAt time.Time // of the last request
	for {
		report, problems, err := t.report(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch fault.Observe(err) {
		case health.FaultRaised:
			log.Error("no lines, will keep trying", "error", err)
		case health.FaultCleared:
			log.Info("the agent answers again", "missed", fault.Failures())
			usageAt = time.Time{}
		case health.FaultUnchanged:
		}
		m.latest.problems = problems
		m.observeReport(t.Now(), report, err)
		if err == nil && t.Now().Sub(usageAt) >= usageInterval(report) {
			usageAt = t.Now()
			today, month, err := t.usage(ctx)
			if usageFault.Observe(err) == health.FaultRaised && ctx.Err() == nil {
				log.Error("the usage is not known, will keep trying", "error", err)
			}
			m.observeUsage(t.Now(), today, month, err)
		}
		if err == nil {
			if err := m.writeJSON(w); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// The format of --json. Unknown values are omitted.
type (
	jsonTable struct {
		Time            time.Time    `json:"time"`
		IntervalSeconds float64      `json:"interval_seconds"`
		In              *jsonRate    `json:"in,omitempty"`
		Out             *jsonRate    `json:"out,omitempty"`
		Clients         []jsonClient `json:"clients"`
		Problems        []string     `json:"problems,omitempty"`
	}
	jsonClient struct {
		Client      string     `json:"client"`
		Ports       []uint16   `json:"ports"`
		In          *jsonRate  `json:"in,omitempty"`
		Out         *jsonRate  `json:"out,omitempty"`
		Today       *uint64    `json:"today_bytes,omitempty"`
		Month       *uint64    `json:"month_bytes,omitempty"`
		Limit       *jsonLimit `json:"limit,omitempty"`
		Connections *int32     `json:"connections,omitempty"`
		Addresses   *int32     `json:"addresses,omitempty"`
	}
	jsonRate struct {
		Bytes   float64 `json:"bytes_per_second"`
		Packets float64 `json:"packets_per_second"`
	}
	jsonLimit struct {
		Used  uint64 `json:"used_bytes"`
		Limit uint64 `json:"limit_bytes"`
		Over  bool   `json:"over"`
	}
)

// writeJSON writes what the table shows as one line.
func (m *model) writeJSON(w io.Writer) error {
	report := m.shown.report
	value := jsonTable{
		Time: report.Time, IntervalSeconds: report.Interval.Seconds(), Clients: []jsonClient{},
		In:  rateJSON(report.Total.In.Rate, report.Interval > 0),
		Out: rateJSON(report.Total.Out.Rate, report.Interval > 0),
	}
	for i := range m.rows {
		value.Clients = append(value.Clients, m.rows[i].json())
	}
	for _, problem := range m.shown.problems {
		value.Problems = append(value.Problems, problem.Message)
	}
	if err := terminal.NewJSONEncoder(w).Encode(value); err != nil {
		return fmt.Errorf("writing the clients as JSON: %w", err)
	}
	return nil
}

func (c *client) json() jsonClient {
	value := jsonClient{Client: c.label, In: rateJSON(c.in, c.ratesKnown), Out: rateJSON(c.out, c.ratesKnown)}
	for _, port := range c.ports {
		value.Ports = append(value.Ports, port.Port.Number)
	}
	if c.today.known {
		value.Today = &c.today.bytes
	}
	if c.month.known {
		value.Month = &c.month.bytes
	}
	if c.limit.Limit > 0 {
		value.Limit = &jsonLimit{c.limit.Used, c.limit.Limit, c.limit.Over}
	}
	if c.connections.Known {
		value.Connections = &c.connections.Established
		if !c.addressesAtLeast {
			value.Addresses = &c.connections.Addresses
		}
	}
	return value
}

func rateJSON(rate accounting.Rate, known bool) *jsonRate {
	if !known {
		return nil
	}
	return &jsonRate{rate.Bytes, rate.Packets}
}
