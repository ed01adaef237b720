package output

import (
	"context"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// usageSource answers every query with rows of the period that it asks for.
type usageSource struct {
	rows []usage.Row
	gaps []usage.Gap
	zone *time.Location
	err  error
}

func (s *usageSource) Clients(context.Context) ([]usage.Client, error) {
	var clients []usage.Client
	for _, row := range s.rows {
		clients = append(clients, usage.Client{Port: row.Port, Name: row.Client})
	}
	return clients, s.err
}

// Usage takes all rows for ones of a day.
func (s *usageSource) Usage(_ context.Context, query usage.Query) (*usage.Records, error) {
	recorded := &usage.Records{Query: query, Zone: s.zone, MonthDay: 1, Gaps: s.gaps}
	for _, row := range s.rows {
		if !query.Since.IsZero() && row.Start.Before(query.Since) || !query.Until.IsZero() && !row.Start.Before(query.Until) {
			continue
		}
		if query.By == usage.ByMonth || query.By == usage.ByTotal {
			row.Start = time.Date(row.Start.Year(), row.Start.Month(), 1, 0, 0, 0, 0, s.zone)
			row.End = row.Start.AddDate(0, 1, 0)
		}
		recorded.Rows = append(recorded.Rows, row)
	}
	return recorded, s.err
}

var tehran = func() *time.Location {
	zone, err := time.LoadLocation("Asia/Tehran")
	if err != nil {
		return time.FixedZone("Asia/Tehran", 12600)
	}
	return zone
}()

// wideNames are those that align by their cells, not by bytes or runes.
var wideNames = []string{"alice", "علی رضا", "王小明的手機", "👩\u200d👩\u200d👧 family", "نیم\u200cفاصله", "e\u0301tienne", "a name that is much longer than its column", "漢字漢字漢字漢字漢字漢字漢字", "", "<b>&\"'", "=cmd|' /C calc'!A0"}

func wideUsage() *usageSource {
	s := &usageSource{zone: tehran}
	for day := range 24 {
		if day == 9 {
			continue // without usage
		}
		for i, name := range wideNames {
			bytes := uint64(1e9) * uint64(len(wideNames)-i) * uint64(1+(day*(i+3))%7) / 3
			start := time.Date(2026, 11, 1+day, 0, 0, 0, 0, tehran)
			s.rows = append(s.rows, usage.Row{
				Start: start, End: start.AddDate(0, 0, 1), Client: name, Port: uint16(20000 + i), Protocol: accounting.TCP,
				In:  accounting.Count{Packets: bytes / 20000, Bytes: bytes / 20},
				Out: accounting.Count{Packets: bytes / 1400, Bytes: bytes},
			})
		}
	}
	lost := time.Date(2026, 11, 12, 3, 4, 5, 0, tehran)
	s.gaps = []usage.Gap{{Since: lost, Until: lost.Add(5 * time.Hour), In: accounting.Count{Packets: 12, Bytes: 12345}, Out: accounting.Count{Packets: 34, Bytes: 9876543210}},
		{Until: time.Date(2026, 11, 10, 12, 0, 0, 0, tehran), In: accounting.Count{Packets: 1, Bytes: 40}}}
	return s
}

func usageReport(t testing.TB, source *usageSource, request usage.Request, warn ...string) *usage.Report {
	t.Helper()
	limits, err := usage.ParseLimits(warn)
	if err != nil {
		t.Fatal(err)
	}
	request.Course = true
	report, err := usage.NewReport(t.Context(), source, request, limits, time.Date(2026, 11, 24, 16, 17, 24, 0, tehran))
	if err != nil {
		t.Fatal(err)
	}
	return report
}
