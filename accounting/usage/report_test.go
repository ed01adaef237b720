package usage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
)

// fakeUsage answers from rows by hour as the store does.
type fakeUsage struct {
	hours    []Row
	calendar Calendar
	clients  []Client
	err      error
}

func (f *fakeUsage) View(_ context.Context, read func(Snapshot) error) error {
	if f.err != nil {
		return f.err
	}
	return read(f)
}

func (f *fakeUsage) Calendar() Calendar { return f.calendar }

func (f *fakeUsage) Clients() ([]Client, error) { return f.clients, nil }

func (f *fakeUsage) Usage(query Query) (*Records, error) {
	usage := new(Records)
	for _, row := range f.hours {
		if query.By == ByTotal {
			row.Start, row.End = f.hours[0].Start, f.hours[len(f.hours)-1].End
		} else {
			row.Start, row.End = f.calendar.start(query.By, row.Start), f.calendar.next(query.By, row.Start)
		}
		if query.By != ByTotal && (!query.Since.IsZero() && row.Start.Before(query.Since) || !query.Until.IsZero() && !row.Start.Before(query.Until)) ||
			len(query.Clients) > 0 && !slices.Contains(query.Clients, ClientOf(row.Client, row.Port)) ||
			len(query.Ports) > 0 && !slices.Contains(query.Ports, row.Port) {
			continue
		}
		usage.Rows = append(usage.Rows, row)
	}
	return usage, nil
}

// sampleUsage returns the usage of two days in November and one in October 2026:
// alice on two ports, bob, and two ports without a name.
func sampleUsage(t *testing.T) *fakeUsage {
	f := &fakeUsage{calendar: Calendar{time.UTC, 1}}
	hour := func(text, client string, port uint16, protocol accounting.Protocol, in, out uint64) {
		start := mustTime(t, text+":00:00Z")
		f.hours = append(f.hours, Row{start, start.Add(time.Hour), client, port, protocol, accounting.Count{Packets: in / 10, Bytes: in}, accounting.Count{Packets: out / 10, Bytes: out}})
	}
	hour("2026-10-31T23", "bob", 20002, accounting.TCP, 1000, 2000)
	hour("2026-11-01T00", "alice", 20000, accounting.TCP, 10, 200)
	hour("2026-11-01T00", "alice", 20000, accounting.UDP, 1, 20)
	hour("2026-11-01T05", "alice", 20001, accounting.TCP, 100, 2000)
	hour("2026-11-01T05", "bob", 20002, accounting.TCP, 300, 30)
	hour("2026-11-03T00", "", 20003, accounting.TCP, 50, 60)
	hour("2026-11-03T01", "", 20004, accounting.TCP, 7000, 0)
	hour("2026-11-03T01", "alice", 20000, accounting.TCP, 1, 1)
	f.clients = []Client{{Port: 20000, Name: "alice"}, {Port: 20001, Name: "alice"}, {Port: 20002, Name: "bob"}, {Port: 20003}, {Port: 20004}}
	return f
}

// describe writes the clients of each period: their ports, in and out.
func describe(report *Report) string {
	var b strings.Builder
	for _, period := range report.Periods {
		fmt.Fprintf(&b, "%s:", period.Start.Format("01-02T15"))
		for _, client := range period.Clients {
			fmt.Fprintf(&b, " %s%v %d+%d", client.Label(), client.Ports, client.In.Bytes, client.Out.Bytes)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestNewReport(t *testing.T) {
	const november = "11-01T00: port 20004[20004] 7000+0 alice[20000 20001] 112+2221 bob[20002] 300+30 port 20003[20003] 50+60\n"
	tests := []struct {
		name    string
		request Request
		want    string
	}{
		{"running month", Request{}, november},
		{"by name", Request{Sort: "name"}, "11-01T00: alice[20000 20001] 112+2221 bob[20002] 300+30 port 20003[20003] 50+60 port 20004[20004] 7000+0\n"},
		{"by in", Request{Sort: "in"}, "11-01T00: port 20004[20004] 7000+0 bob[20002] 300+30 alice[20000 20001] 112+2221 port 20003[20003] 50+60\n"},
		{"by out", Request{Sort: "out"}, "11-01T00: alice[20000 20001] 112+2221 port 20003[20003] 50+60 bob[20002] 300+30 port 20004[20004] 7000+0\n"},
		{"top", Request{Top: "2"}, "11-01T00: port 20004[20004] 7000+0 alice[20000 20001] 112+2221 2 others[20002 20003] 350+90\n"},
		{"top by name", Request{Top: "2", Sort: "name"}, "11-01T00: alice[20000 20001] 112+2221 port 20004[20004] 7000+0 2 others[20002 20003] 350+90\n"},
		{"top by out", Request{Top: "3", Sort: "out"}, "11-01T00: alice[20000 20001] 112+2221 port 20003[20003] 50+60 bob[20002] 300+30 1 other[20004] 7000+0\n"},
		{"top of all", Request{Top: "4"}, november},
		{"a client", Request{Clients: []string{"alice"}}, "11-01T00: alice[20000 20001] 112+2221\n"},
		{"clients with and without a name", Request{Clients: []string{"20003", "port 20004", "bob"}}, "11-01T00: port 20004[20004] 7000+0 bob[20002] 300+30 port 20003[20003] 50+60\n"},
		{"a port", Request{Ports: []string{"20001", "20003"}}, "11-01T00: alice[20001] 100+2000 port 20003[20003] 50+60\n"},
		{"days, one of them without usage", Request{By: "day"}, "11-01T00: alice[20000 20001] 111+2220 bob[20002] 300+30\n11-02T00:\n11-03T00: port 20004[20004] 7000+0 port 20003[20003] 50+60 alice[20000] 1+1\n11-04T00:\n"},
		{"weeks, from their Mondays", Request{By: "week"}, "10-26T00: bob[20002] 1300+2030 alice[20000 20001] 111+2220\n11-02T00: port 20004[20004] 7000+0 port 20003[20003] 50+60 alice[20000] 1+1\n"},
		{"all months", Request{By: "month"}, "10-01T00: bob[20002] 1000+2000\n" + november},
		{"nothing", Request{Since: "2026-01", Until: "2026-02", By: "month"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report, err := NewReport(t.Context(), sampleUsage(t), test.request, Limits{}, mustTime(t, "2026-11-04T12:00:00Z"))
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(report); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

// TestSumsAreExact compares every sum in random reports with the sum of the
// rows that the reports are made from.
func TestSumsAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	base := mustTime(t, "2026-10-20T00:00:00Z")
	for range 300 {
		source := &fakeUsage{calendar: Calendar{mustZone(t, []string{"UTC", "Asia/Kathmandu", "Europe/Berlin"}[random.IntN(3)]), 1 + random.IntN(28)}}
		var in, out accounting.Count
		for range 1 + random.IntN(60) {
			start := base.Add(time.Duration(random.IntN(60*24)) * time.Hour)
			port := uint16(20000 + random.IntN(8))
			row := Row{Start: start, End: start.Add(time.Hour), Client: []string{"", "a", "b"}[random.IntN(3)], Port: port, Protocol: accounting.TCP,
				In: accounting.Count{Packets: random.Uint64N(1e6), Bytes: random.Uint64N(1e15)}, Out: accounting.Count{Packets: random.Uint64N(1e6), Bytes: random.Uint64N(1e15)}}
			source.hours = append(source.hours, row)
			in, out = in.Plus(row.In), out.Plus(row.Out)
		}
		slices.SortFunc(source.hours, func(a, b Row) int { return a.Start.Compare(b.Start) })
		by := []string{"hour", "day", "week", "month", "total"}[random.IntN(5)]
		request := Request{By: by, Since: "2026-10", Course: true, Top: []string{"", "1", "3"}[random.IntN(3)], Sort: []string{"usage", "name", "in", "out"}[random.IntN(4)]}
		if by == "month" {
			request.Since = "" // the day of the month may begin one before
		}
		if request.Since != "" {
			request.Since = "2026-09"
		}
		report, err := NewReport(t.Context(), source, request, Limits{}, base.AddDate(0, 2, 0))
		if err != nil {
			t.Fatal(err)
		}
		if report.Whole.In != in || report.Whole.Out != out || report.Whole.Bytes() != in.Bytes+out.Bytes {
			t.Fatalf("by %s: whole %v %v, want %v %v", by, report.Whole.In, report.Whole.Out, in, out)
		}
		sum := func(name string, periods []PeriodUsage) {
			var periodIn, clientIn, periodOut, clientOut accounting.Count
			for i, period := range periods {
				periodIn, periodOut = periodIn.Plus(period.In), periodOut.Plus(period.Out)
				var share float64
				for _, client := range period.Clients {
					clientIn, clientOut = clientIn.Plus(client.In), clientOut.Plus(client.Out)
					share += period.Share(client)
				}
				if period.Bytes() > 0 && (share < 0.999999 || share > 1.000001) {
					t.Errorf("%s: got shares that add up to %v, want 1", name, share)
				}
				if i > 0 && period.Start.Before(periods[i-1].Start) {
					t.Errorf("%s: %s follows %s", name, period.Start, periods[i-1].Start)
				}
			}
			if periodIn != in || clientIn != in || periodOut != out || clientOut != out {
				t.Fatalf("%s by %s: periods %v %v, clients %v %v, want %v %v", name, by, periodIn, periodOut, clientIn, clientOut, in, out)
			}
		}
		sum("periods", report.Periods)
		sum("course", report.Course)
		sum("whole", []PeriodUsage{report.Whole})
	}
}

func TestLimitsOfReport(t *testing.T) {
	limits := Limits{Default: 2332, Clients: map[string]uint64{"bob": 331}}
	// The report has a part of the month and of alice's ports, but the limit applies
	// to all of them.
	report, err := NewReport(t.Context(), sampleUsage(t), Request{By: "day", Since: "2026-11-03", Clients: []string{"alice", "bob"}, Ports: []string{"20000"}}, limits, mustTime(t, "2026-11-04T12:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, state := range report.Limits {
		got = append(got, fmt.Sprint(state.Client.Label(), state.Start.Format(" 2006-01 "), state.Used, " of ", state.Limit, state.Over()))
	}
	if want := []string{"alice 2026-11 2333 of 2332 true", "bob 2026-11 330 of 331 false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCourse(t *testing.T) {
	tests := []struct {
		name    string
		request Request
		by      Period
		bars    int
		first   string
	}{
		{"running month", Request{}, ByDay, 30, "2026-11-01T00"},
		{"all months", Request{By: "month"}, ByDay, 61, "2026-10-01T00"},
		{"one day", Request{Since: "2026-11-01", Until: "2026-11-01"}, ByHour, 24, "2026-11-01T00"},
		{"four days by day", Request{By: "day", Last: "4d"}, ByDay, 4, "2026-11-01T00"},
		{"hours", Request{By: "hour", Last: "96h"}, ByHour, 96, "2026-10-31T13"},
		{"too many hours", Request{By: "hour", Last: "97h"}, ByDay, 5, "2026-10-31T00"},
		{"since long before", Request{Since: "1970-01"}, ByDay, 61, "2026-10-01T00"},
		{"until long after", Request{Since: "2026-11", Until: "2200-01"}, ByDay, 30, "2026-11-01T00"},
		{"nothing", Request{Until: "2026-01"}, "", 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.request.Course = true
			source := sampleUsage(t)
			if test.name == "nothing" {
				source.hours = nil
			}
			report, err := NewReport(t.Context(), source, test.request, Limits{}, mustTime(t, "2026-11-04T12:00:00Z"))
			if err != nil {
				t.Fatal(err)
			}
			first := ""
			if len(report.Course) > 0 {
				first = report.Course[0].Start.Format("2006-01-02T15")
			}
			if report.CourseBy != test.by || len(report.Course) != test.bars || first != test.first {
				t.Errorf("got %d bars by %q from %s, want %d by %q from %s", len(report.Course), report.CourseBy, first, test.bars, test.by, test.first)
			}
		})
	}
	t.Run("months of two years", func(t *testing.T) {
		source := sampleUsage(t)
		first := source.hours[0]
		first.Start, first.End = first.Start.AddDate(-2, 0, 0), first.End.AddDate(-2, 0, 0)
		source.hours = slices.Insert(source.hours, 0, first)
		report, err := NewReport(t.Context(), source, Request{By: "month", Course: true}, Limits{}, mustTime(t, "2026-11-04T12:00:00Z"))
		if err != nil || report.CourseBy != ByMonth || len(report.Course) != 26 {
			t.Errorf("got %d bars by %s, %v", len(report.Course), report.CourseBy, err)
		}
	})
}

// TestFillLeavesForeignPeriods fills around days that begin by the clock of another
// zone.
func TestFillLeavesForeignPeriods(t *testing.T) {
	at := func(text string) time.Time { return mustTime(t, "2026-11-"+text+":00:00Z") }
	foreign := PeriodUsage{Start: at("02T05"), End: at("03T05")}
	filled := Calendar{time.UTC, 1}.fill([]PeriodUsage{foreign}, ByDay, at("01T00"), at("05T00"))
	var got []string
	for _, period := range filled {
		got = append(got, period.Start.Format("02T15")+"-"+period.End.Format("02T15"))
	}
	if want := []string{"01T00-02T00", "02T00-02T05", "02T05-03T05", "03T05-04T00", "04T00-05T00"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnknownClient(t *testing.T) {
	source := sampleUsage(t)
	source.clients = append(source.clients, Client{Port: 1, Name: "bobby"}, Client{Port: 2, Name: "Zoë"})
	_, err := NewReport(t.Context(), source, Request{Clients: []string{"Bobb"}}, Limits{}, time.Now())
	want := `client "Bobb" is not known: the nearest of 6 are bob, bobby, Zoë; see ssmonitor client list`
	if !errors.As(err, new(*RequestError)) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err = NewReport(t.Context(), source, Request{Ports: []string{"20001", "20009"}}, Limits{}, time.Now()); !errors.As(err, new(*RequestError)) || !strings.Contains(err.Error(), "port 20009 was never counted") {
		t.Errorf("got %v", err)
	}
	source.clients = nil
	if _, err = NewReport(t.Context(), source, Request{Clients: []string{"bob"}}, Limits{}, time.Now()); err == nil || !strings.Contains(err.Error(), "no usage of any client is recorded yet") {
		t.Errorf("got %v", err)
	}
	source.err = errors.New("database is damaged")
	if _, err = NewReport(t.Context(), source, Request{}, Limits{}, time.Now()); !errors.Is(err, source.err) || errors.As(err, new(*RequestError)) {
		t.Errorf("got %v", err)
	}
}

// TestClientNamedAsAPort has a client named 20003 and another one without a name
// on port 20003.
func TestClientNamedAsAPort(t *testing.T) {
	source := sampleUsage(t)
	source.hours[1].Client = "20003"
	source.clients = append(source.clients, Client{Port: 20000, Name: "20003"})
	for client, want := range map[string]string{"20003": "11-01T00: 20003[20000] 10+200\n", "port 20003": "11-01T00: port 20003[20003] 50+60\n"} {
		report, err := NewReport(t.Context(), source, Request{Clients: []string{client}}, Limits{}, mustTime(t, "2026-11-04T12:00:00Z"))
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(report); got != want {
			t.Errorf("%s: got %q, want %q", client, got, want)
		}
	}
}
