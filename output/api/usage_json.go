package api

import (
	"bufio"
	"encoding/json"
	"errors"
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
	// Usage is what an agent answers to GET /v1/usage.
	Usage struct {
		By       usage.Period  `json:"by"`
		Zone     string        `json:"zone"`
		MonthDay int           `json:"month_day"`
		Since    time.Time     `json:"since,omitzero"`
		Until    time.Time     `json:"until,omitzero"`
		Total    UsageSum      `json:"total"`
		Periods  []UsagePeriod `json:"periods"`
		Gaps     []UsageGap    `json:"gaps"`
		Limits   []UsageLimit  `json:"limits"`
	}
	// UsagePeriod is what the clients used in one period.
	UsagePeriod struct {
		Start   time.Time     `json:"start"`
		End     time.Time     `json:"end"`
		Total   UsageSum      `json:"total"`
		Clients []UsageClient `json:"clients"`
		Others  *UsageOthers  `json:"others,omitempty"`
	}
	// UsageClient is what one client used. Client is its label.
	UsageClient struct {
		Client string   `json:"client"`
		Ports  []uint16 `json:"ports"`
		Share  float64  `json:"share"`
		UsageSum
	}
	// UsageOthers is what the clients used together that are not shown.
	UsageOthers struct {
		Clients int     `json:"clients"`
		Share   float64 `json:"share"`
		UsageSum
	}
	// UsageGap is a time whose history was lost. Since is zero if it is not known.
	UsageGap struct {
		Since time.Time `json:"since,omitzero"`
		Until time.Time `json:"until"`
		UsageSum
	}
	// UsageLimit is what a client with a limit used in a month.
	UsageLimit struct {
		Client string    `json:"client"`
		Start  time.Time `json:"start"`
		End    time.Time `json:"end"`
		Used   uint64    `json:"used_bytes"`
		Limit  uint64    `json:"limit_bytes"`
		Over   bool      `json:"over"`
	}
	// UsageSum is what was received and sent. Bytes is both together.
	UsageSum struct {
		Bytes uint64     `json:"bytes"`
		In    UsageCount `json:"in"`
		Out   UsageCount `json:"out"`
	}
	// UsageCount is one direction of it.
	UsageCount struct {
		Bytes   uint64 `json:"bytes"`
		Packets uint64 `json:"packets"`
	}
)

// WriteUsage writes the report as one JSON object.
func WriteUsage(w io.Writer, report *usage.Report) error {
	value := Usage{
		By: report.By, Zone: report.ZoneName(report.Now), MonthDay: report.MonthDay,
		Since: report.Since, Until: report.Until,
		Total:   sumJSON(report.Whole.In, report.Whole.Out),
		Periods: []UsagePeriod{}, Gaps: []UsageGap{}, Limits: []UsageLimit{},
	}
	for i := range report.Periods {
		value.Periods = append(value.Periods, periodJSON(&report.Periods[i]))
	}
	for _, gap := range report.Gaps {
		value.Gaps = append(value.Gaps, UsageGap{gap.Since, gap.Until, sumJSON(gap.In, gap.Out)})
	}
	for _, state := range report.Limits {
		value.Limits = append(value.Limits, UsageLimit{state.Client.Label(), state.Start, state.End, state.Used, state.Limit, state.Over()})
	}
	out := bufio.NewWriter(w)
	encoder := terminal.NewJSONEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("writing the usage as JSON: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the usage as JSON: %w", err)
	}
	return nil
}

func periodJSON(period *usage.PeriodUsage) UsagePeriod {
	value := UsagePeriod{
		Start: period.Start, End: period.End,
		Total: sumJSON(period.In, period.Out), Clients: []UsageClient{},
	}
	for _, client := range period.Clients {
		sum, share := sumJSON(client.In, client.Out), period.Share(client)
		if client.Others > 0 {
			value.Others = &UsageOthers{client.Others, share, sum}
			continue
		}
		value.Clients = append(value.Clients, UsageClient{client.Label(), client.Ports, share, sum})
	}
	return value
}

func sumJSON(in, out accounting.Count) UsageSum {
	return UsageSum{in.Bytes + out.Bytes, UsageCount{in.Bytes, in.Packets}, UsageCount{out.Bytes, out.Packets}}
}

// ReadUsage reads what [WriteUsage] has written, at most 64 MiB of it. Unknown keys are
// ignored.
func ReadUsage(r io.Reader) (*Usage, error) {
	value := new(Usage)
	if err := json.NewDecoder(io.LimitReader(r, maxJSON)).Decode(value); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the usage as JSON: %w", err)
	}
	return value, nil
}
