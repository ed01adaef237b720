package netdata

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

// named is a port with its totals; TCP carries all of them.
func named(number uint16, name string, in, out accounting.Count) accounting.PortReport {
	return accounting.PortReport{
		Port: accounting.Port{Number: number, Protocols: accounting.TCPAndUDP, Name: name},
		TCP:  accounting.Traffic{In: accounting.Flow{Total: in}, Out: accounting.Flow{Total: out}},
	}
}

func count(packets, bytes uint64) accounting.Count {
	return accounting.Count{Packets: packets, Bytes: bytes}
}

// at is a report so long after noon, with totals that are the ports' sum.
func at(after time.Duration, ports ...accounting.PortReport) *accounting.Report {
	report := &accounting.Report{Time: sample.Noon.Add(after), Ports: ports}
	for _, port := range ports {
		sum := port.Sum()
		report.Total.In.Total = report.Total.In.Total.Plus(sum.In.Total)
		report.Total.Out.Total = report.Total.Out.Total.Plus(sum.Out.Total)
	}
	return report
}

// netdataAfter returns what Netdata knows after the reports.
func netdataAfter(t *testing.T, seconds int, labels bool, reports ...*accounting.Report) *netdata {
	t.Helper()
	var text strings.Builder
	charts := newChartWriter(&text, seconds, allPorts, labels)
	for _, report := range reports {
		if err := charts.write(report); err != nil {
			t.Fatal(err)
		}
	}
	reader := newNetdata()
	reader.old = !labels
	reader.feed(t, text.String())
	return reader
}

func TestChartsOfAScriptedLife(t *testing.T) {
	alice := func(n uint64) accounting.PortReport {
		return named(20000, "alice", count(n, 1000*n), count(2*n, 5000*n))
	}
	bob := func(name string, n uint64) accounting.PortReport {
		return named(20001, name, count(n, 100*n), count(n, 100*n))
	}
	from := func(addresses int32, port accounting.PortReport) accounting.PortReport {
		port.Connections = accounting.Connections{Known: true, Established: 2 * addresses, Addresses: addresses}
		return port
	}
	allGone := at(6 * time.Second)
	allGone.Total.In.Total, allGone.Total.Out.Total = count(0, 13900), count(0, 65900)
	var all, cycle strings.Builder
	charts := newChartWriter(&cycle, 1, allPorts, true)
	reader := newNetdata()
	for _, step := range []struct {
		title  string
		report *accounting.Report // nil: the agent is away
	}{
		{"no port yet", at(0)},
		{"alice appears", at(time.Second, alice(1))},
		{"she goes on, read a little late", at(2010*time.Millisecond, alice(2))},
		{"the same reading again", at(2010*time.Millisecond, alice(2))},
		{"bob appears, without a name", at(3*time.Second, alice(3), bob("", 1))},
		{"bob gets his name", at(4*time.Second, alice(4), bob("bob's", 2))},
		{"the agent is away", nil},
		{"it is back", at(6*time.Second, alice(6), bob("bob's", 4))},
		{"a cycle was missed", at(8*time.Second, alice(8), bob("bob's", 6))},
		{"it becomes known who is connected", at(9*time.Second, from(0, alice(9)), from(3, bob("bob's", 6)))},
		{"and changes", at(10*time.Second, from(1, alice(9)), from(4, bob("bob's", 6)))},
		{"the agent is away again", nil},
		{"and back", at(10500*time.Millisecond, from(1, alice(9)), from(4, bob("bob's", 6)))},
		{"it is unknown who is connected to her", at(11500*time.Millisecond, alice(9), from(5, bob("bob's", 6)))},
		{"alice is known again, bob gets another name", at(12500*time.Millisecond, from(2, alice(9)), from(6, bob("rob", 6)))},
		{"bob goes", at(13500*time.Millisecond, from(1, alice(10)))},
		{"and stays away", at(14500*time.Millisecond, from(1, alice(11)))},
		{"bob returns", at(15500*time.Millisecond, from(1, alice(12)), from(2, bob("bob's", 7)))},
		{"the clock is set back", at(5*time.Second, from(1, alice(13)), from(2, bob("bob's", 8)))},
		{"all go, their traffic stays in the total", allGone},
	} {
		cycle.Reset()
		if step.report == nil {
			charts.gap()
		} else if err := charts.write(step.report); err != nil {
			t.Fatal(err)
		}
		reader.feed(t, cycle.String())
		all.WriteString("--- " + step.title + "\n" + cycle.String())
	}
	testkit.Golden(t, "life.netdata", all.String())
}

// TestChartsNeverFall has an agent that loses its state twice. Netdata has to see the
// differences that were measured and nothing else.
func TestChartsNeverFall(t *testing.T) {
	for name, received := range map[string]func(sent uint64) uint64{
		"one direction":   func(uint64) uint64 { return 100 },
		"both directions": func(sent uint64) uint64 { return sent },
	} {
		t.Run(name, func(t *testing.T) { testFallingTotals(t, received) })
	}
}

func testFallingTotals(t *testing.T, received func(sent uint64) uint64) {
	const id = "ssmonitor.port_1_traffic"
	const nearlyOverflow = 1<<32 - 1000
	var text strings.Builder
	charts := newChartWriter(&text, 1, allPorts, true)
	reader := newNetdata()
	var seen []int64
	for i, total := range []uint64{nearlyOverflow, nearlyOverflow + 10, 0, 5, 7, 2, 3} {
		text.Reset()
		if err := charts.write(at(time.Duration(i)*time.Second, named(1, "", count(0, received(total)), count(0, total)))); err != nil {
			t.Fatal(err)
		}
		if fell := i == 2 || i == 5; strings.Contains(text.String(), "BEGIN '"+id+"'\nSET 'received' = ''\nSET 'sent' = ''") != fell {
			t.Errorf("reading %d: told as a gap: %t", i, !fell)
		}
		before := 0
		if chart := reader.charts[id]; chart != nil {
			before = len(chart.updates)
		}
		reader.feed(t, text.String())
		if updates := reader.charts[id].updates; len(updates) > before {
			values := updates[before].values
			seen = append(seen, values["sent"]-nearlyOverflow)
			if want := int64(received(uint64(values["sent"]))); values["received"] != want {
				t.Errorf("reading %d: received %d, want %d", i, values["received"], want)
			}
			continued := updates[before].microseconds != 0
			if after := i == 0 || i == 3 || i == 6; continued == after {
				t.Errorf("reading %d: told as a continuation: %t", i, continued)
			}
		}
	}
	if difference := cmp.Diff([]int64{0, 10, 15, 17, 18}, seen); difference != "" {
		t.Errorf("totals since the first (-want +got):\n%s", difference)
	}
}

// TestStepsOfTime looks at the microseconds that Netdata is told: none if the step
// is not about a cycle, since the clock was set or a cycle was missed.
func TestStepsOfTime(t *testing.T) {
	for _, test := range []struct {
		step time.Duration
		want int64
	}{
		{time.Millisecond, 0},
		{-time.Second, 0},
		{2499 * time.Millisecond, 0},
		{2500 * time.Millisecond, 2_500_000},
		{5 * time.Second, 5_000_000},
		{9999 * time.Millisecond, 9_999_000},
		{10 * time.Second, 0},
		{time.Hour, 0},
	} {
		port := named(1, "", count(1, 1), count(1, 1))
		reader := netdataAfter(t, 5, true, at(0, port), at(test.step, port))
		for _, id := range []string{"ssmonitor.total_traffic", "ssmonitor.port_1_traffic", "ssmonitor.port_1_packets"} {
			if got := reader.last(t, id).microseconds; got != test.want {
				t.Errorf("after %s: %s has %d microseconds, want %d", test.step, id, got, test.want)
			}
			if every := reader.charts[id].every; every != "5" {
				t.Errorf("%s is updated every %s seconds, want 5", id, every)
			}
		}
	}
}

func TestChartsStayWithinWhatNetdataCounts(t *testing.T) {
	var reports []*accounting.Report
	for i, total := range []uint64{math.MaxInt64 - 1, math.MaxUint64 - 1, math.MaxUint64} {
		reports = append(reports, at(time.Duration(i)*time.Second, named(1, "", count(0, total), count(0, 0))))
	}
	reader := netdataAfter(t, 1, true, reports...)
	if got := reader.last(t, "ssmonitor.port_1_traffic").values["received"]; got != math.MaxInt64 {
		t.Errorf("the last total is %d, want the highest there is", got)
	}
}

func TestChartsAreWrittenAtOnce(t *testing.T) {
	var writes writeCounter
	charts := newChartWriter(&writes, 1, allPorts, true)
	for i := range 3 {
		if err := charts.write(at(time.Duration(i)*time.Second, sample.ManyPorts(1000).Ports...)); err != nil {
			t.Fatal(err)
		}
	}
	if writes != 3 {
		t.Errorf("%d writes for 3 reports", writes)
	}
}

type writeCounter int

func (w *writeCounter) Write(p []byte) (int, error) {
	*w++
	return len(p), nil
}

func TestChartsSayThatTheWriteFailed(t *testing.T) {
	if err := newChartWriter(brokenWriter{}, 1, allPorts, true).write(at(0)); !errors.Is(err, errBroken) {
		t.Errorf("the error is %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestFieldsAreCleaned(t *testing.T) {
	for text, want := range map[string]string{
		"alice":                           "alice",
		"Ärger 漢字 😀":                      "Ärger 漢字 😀",
		" \ta\r\n b ":                     "a b",
		`it's "x" \n`:                     "it_s _x_ _n",
		"`id`":                            "_id_",
		"a=b,c;d":                         "a=b,c;d",
		"<script>&amp;":                   "_script__amp;",
		"a\x00b\x7fc\u202ed":              "a_b_c_d",
		"\x1b[31m\u009b2J\u3164' BEGIN x": "_[31m_2J__ BEGIN x",
		"\xff\xfe":                        "__",
		"'":                               "_",
		"":                                "",
		strings.Repeat("x", 300):          strings.Repeat("x", 200),
		strings.Repeat("x", 199) + "é":    strings.Repeat("x", 199),
		strings.Repeat("x", 199) + " yyy": strings.Repeat("x", 199),
	} {
		if got := cleanField(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func FuzzChartsTakeAnyName(f *testing.F) {
	for _, name := range []string{
		"", "alice", "it's", `"`, `\`, "a=b", "a\nDISABLE", "\x00", "é漢😀", "\xff", "' 'x' 'obsolete", strings.Repeat("é", 300),
		" ", "\u2028", "\u202e", "\u00a0",
	} {
		f.Add(name, uint16(20000), uint64(1))
	}
	f.Fuzz(func(t *testing.T, name string, number uint16, total uint64) {
		port := named(number, name, count(total, total), count(total, total))
		reader := netdataAfter(t, 1, true, at(0, port), at(time.Second, port), at(2*time.Second))
		if len(reader.charts) != 3 {
			t.Fatalf("%d charts, want 3", len(reader.charts))
		}
		for id, chart := range reader.charts {
			if label := chart.labels["name"]; len(label) > maxField || !utf8.ValidString(label) {
				t.Errorf("%s has the label %q", id, label)
			}
		}
	})
}

func BenchmarkCharts(b *testing.B) {
	report := sample.ManyPorts(10000)
	var writes writeCounter
	charts := newChartWriter(&writes, 1, allPorts, true)
	b.ReportAllocs()
	for b.Loop() {
		report.Time = report.Time.Add(time.Second)
		if err := charts.write(report); err != nil {
			b.Fatal(err)
		}
	}
}
