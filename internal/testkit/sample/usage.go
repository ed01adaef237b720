package sample

import (
	"context"
	"slices"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// Usage answers every query with rows of the period that it asks for.
type Usage struct {
	Rows []usage.Row
	Gaps []usage.Gap
	Zone *time.Location
	Err  error
}

// View calls read with the usage, unless it fails with Err.
func (s *Usage) View(_ context.Context, read func(usage.Snapshot) error) error {
	if s.Err != nil {
		return s.Err
	}
	return read(s)
}

// Calendar has months that begin on the first day.
func (s *Usage) Calendar() usage.Calendar { return usage.Calendar{Zone: s.Zone, MonthDay: 1} }

// Clients returns the clients of the rows.
func (s *Usage) Clients() ([]usage.Client, error) {
	var clients []usage.Client
	for _, row := range s.Rows {
		clients = append(clients, usage.Client{Port: row.Port, Name: row.Client})
	}
	return clients, nil
}

// Usage takes all rows for ones of a day.
func (s *Usage) Usage(query usage.Query) (*usage.Records, error) {
	recorded := new(usage.Records)
	for _, gap := range s.Gaps {
		if !gap.Until.Before(query.Since) && (query.Until.IsZero() || gap.Since.Before(query.Until)) {
			recorded.Gaps = append(recorded.Gaps, gap)
		}
	}
	for _, row := range s.Rows {
		if !query.Since.IsZero() && row.Start.Before(query.Since) || !query.Until.IsZero() && !row.Start.Before(query.Until) ||
			len(query.Clients) > 0 && !slices.Contains(query.Clients, usage.ClientOf(row.Client, row.Port)) {
			continue
		}
		if query.By == usage.ByMonth || query.By == usage.ByTotal {
			row.Start = time.Date(row.Start.Year(), row.Start.Month(), 1, 0, 0, 0, 0, s.Zone)
			row.End = row.Start.AddDate(0, 1, 0)
		}
		recorded.Rows = append(recorded.Rows, row)
	}
	return recorded, nil
}

// Tehran is a zone with an offset of half an hour.
var Tehran = func() *time.Location {
	zone, err := time.LoadLocation("Asia/Tehran")
	if err != nil {
		return time.FixedZone("Asia/Tehran", 12600)
	}
	return zone
}()

// WideNames are those that align by their cells, not by bytes or runes.
var WideNames = []string{"alice", "علی رضا", "王小明的手機", "👩\u200d👩\u200d👧 family", "نیم\u200cفاصله", "e\u0301tienne", "a name that is much longer than its column", "漢字漢字漢字漢字漢字漢字漢字", "", "<b>&\"'", "=cmd|' /C calc'!A0"}

// WideUsage is the usage of most of November by clients with wide names, with gaps.
func WideUsage() *Usage {
	s := &Usage{Zone: Tehran}
	for day := range 24 {
		if day == 9 {
			continue // without usage
		}
		for i, name := range WideNames {
			bytes := uint64(1e9) * uint64(len(WideNames)-i) * uint64(1+(day*(i+3))%7) / 3
			start := time.Date(2026, 11, 1+day, 0, 0, 0, 0, Tehran)
			s.Rows = append(s.Rows, usage.Row{
				Start: start, End: start.AddDate(0, 0, 1), Client: name, Port: uint16(20000 + i), Protocol: accounting.TCP,
				In:  accounting.Count{Packets: bytes / 20000, Bytes: bytes / 20},
				Out: accounting.Count{Packets: bytes / 1400, Bytes: bytes},
			})
		}
	}
	lost := time.Date(2026, 11, 12, 3, 4, 5, 0, Tehran)
	s.Gaps = []usage.Gap{{Since: lost, Until: lost.Add(5 * time.Hour), In: accounting.Count{Packets: 12, Bytes: 12345}, Out: accounting.Count{Packets: 34, Bytes: 9876543210}},
		{Until: time.Date(2026, 11, 10, 12, 0, 0, 0, Tehran), In: accounting.Count{Packets: 1, Bytes: 40}}}
	return s
}

// UsageReport makes the report that is requested, at the end of the samples.
func UsageReport(t testing.TB, source *Usage, request usage.Request, warn ...string) *usage.Report {
	t.Helper()
	limits, err := usage.ParseLimits(warn)
	if err != nil {
		t.Fatal(err)
	}
	request.Course = true
	report, err := usage.NewReport(t.Context(), source, request, limits, time.Date(2026, 11, 24, 16, 17, 24, 0, Tehran))
	if err != nil {
		t.Fatal(err)
	}
	return report
}
