package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// ReadUsage reads what [WriteUsage] has written, at most 64 MiB of it.
// Unknown keys are ignored. Times have the offsets of the answer instead of a
// zone, and what an answer does not have is not set: Now, Sort, Zone, Whole and
// the course.
func ReadUsage(r io.Reader) (*usage.Report, error) {
	var value jsonUsage
	if err := json.NewDecoder(io.LimitReader(r, maxJSON)).Decode(&value); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the usage as JSON: %w", err)
	}
	report := &usage.Report{By: value.By, Calendar: usage.Calendar{MonthDay: value.MonthDay}, In: value.Total.In.count(), Out: value.Total.Out.count()}
	if value.Since != nil {
		report.Since = *value.Since
	}
	if value.Until != nil {
		report.Until = *value.Until
	}
	for i := range value.Periods {
		report.Periods = append(report.Periods, value.Periods[i].period())
	}
	for _, limit := range value.Limits {
		report.Limits = append(report.Limits, usage.LimitState{
			Client: limit.Client, Start: limit.Start, End: limit.End, Used: limit.Used, Limit: limit.Limit,
		})
	}
	for _, gap := range value.Gaps {
		g := usage.Gap{Until: gap.Until, In: gap.In.count(), Out: gap.Out.count()}
		if gap.Since != nil {
			g.Since = *gap.Since
		}
		report.Gaps = append(report.Gaps, g)
	}
	return report, nil
}

func (p *jsonPeriod) period() usage.PeriodUsage {
	period := usage.PeriodUsage{Start: p.Start, End: p.End, In: p.Total.In.count(), Out: p.Total.Out.count()}
	period.Clients = slices.Grow(period.Clients, len(p.Clients)+1)
	for _, c := range p.Clients {
		client := usage.ClientUsage{Ports: c.Ports, In: c.In.count(), Out: c.Out.count()}
		if client.Label() != c.Client { // that of a port without a name
			client.Client = c.Client
		}
		period.Clients = append(period.Clients, client)
	}
	if p.Others != nil {
		period.Clients = append(period.Clients, usage.ClientUsage{
			Others: p.Others.Clients, In: p.Others.In.count(), Out: p.Others.Out.count(),
		})
	}
	return period
}

func (c jsonCount) count() accounting.Count {
	return accounting.Count{Packets: c.Packets, Bytes: c.Bytes}
}
