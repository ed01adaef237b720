package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
)

// The format of GET /v1/usage and of `usage --format json`. All numbers except
// share are 64-bit integers, and times are RFC 3339.
type (
	jsonUsage struct {
		By       usage.Period `json:"by"`
		Zone     string       `json:"zone"`
		MonthDay int          `json:"month_day"`
		Since    *time.Time   `json:"since,omitempty"`
		Until    *time.Time   `json:"until,omitempty"`
		Total    jsonSum      `json:"total"`
		Periods  []jsonPeriod `json:"periods"`
		Gaps     []jsonGap    `json:"gaps"`
		Limits   []jsonLimit  `json:"limits"`
	}
	jsonPeriod struct {
		Start   time.Time    `json:"start"`
		End     time.Time    `json:"end"`
		Total   jsonSum      `json:"total"`
		Clients []jsonClient `json:"clients"`
		Others  *jsonOthers  `json:"others,omitempty"`
	}
	jsonClient struct {
		Client string   `json:"client"`
		Ports  []uint16 `json:"ports"`
		Share  float64  `json:"share"`
		jsonSum
	}
	jsonOthers struct {
		Clients int     `json:"clients"`
		Share   float64 `json:"share"`
		jsonSum
	}
	jsonGap struct {
		Since *time.Time `json:"since,omitempty"` // omitted if it is not known
		Until time.Time  `json:"until"`
		jsonSum
	}
	jsonLimit struct {
		Client string    `json:"client"`
		Start  time.Time `json:"start"`
		End    time.Time `json:"end"`
		Used   uint64    `json:"used_bytes"`
		Limit  uint64    `json:"limit_bytes"`
		Over   bool      `json:"over"`
	}
	jsonSum struct {
		Bytes uint64    `json:"bytes"` // in and out together
		In    jsonCount `json:"in"`
		Out   jsonCount `json:"out"`
	}
	jsonCount struct {
		Bytes   uint64 `json:"bytes"`
		Packets uint64 `json:"packets"`
	}
)

// WriteUsage writes the report as one JSON object.
func WriteUsage(w io.Writer, report *usage.Report) error {
	in := func(t time.Time) time.Time { return t.In(report.Zone) }
	known := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = in(t)
		return &t
	}
	value := jsonUsage{
		By: report.By, Zone: report.Zone.String(), MonthDay: report.MonthDay,
		Since: known(report.Since), Until: known(report.Until),
		Total:   sumJSON(report.In, report.Out),
		Periods: []jsonPeriod{}, Gaps: []jsonGap{}, Limits: []jsonLimit{},
	}
	for i := range report.Periods {
		value.Periods = append(value.Periods, periodJSON(&report.Periods[i]))
	}
	for _, gap := range report.Gaps {
		value.Gaps = append(value.Gaps, jsonGap{known(gap.Since), in(gap.Until), sumJSON(gap.In, gap.Out)})
	}
	for _, state := range report.Limits {
		value.Limits = append(value.Limits, jsonLimit{state.Client, in(state.Start), in(state.End), state.Used, state.Limit, state.Over()})
	}
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(terminal.JSONWriter(out))
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("writing the usage as JSON: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the usage as JSON: %w", err)
	}
	return nil
}

func periodJSON(period *usage.PeriodUsage) jsonPeriod {
	value := jsonPeriod{
		Start: period.Start, End: period.End,
		Total: sumJSON(period.In, period.Out), Clients: []jsonClient{},
	}
	for _, client := range period.Clients {
		sum, share := sumJSON(client.In, client.Out), period.Share(client)
		if client.Others > 0 {
			value.Others = &jsonOthers{client.Others, share, sum}
			continue
		}
		value.Clients = append(value.Clients, jsonClient{client.Label(), client.Ports, share, sum})
	}
	return value
}

func sumJSON(in, out accounting.Count) jsonSum {
	return jsonSum{in.Bytes + out.Bytes, jsonCount{in.Bytes, in.Packets}, jsonCount{out.Bytes, out.Packets}}
}
