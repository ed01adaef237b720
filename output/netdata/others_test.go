package netdata

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
)

// life feeds reports to charts with a limit, a second each, and returns what
// Netdata then knows.
type life struct {
	t       *testing.T
	charts  *chartWriter
	text    strings.Builder
	netdata *netdata
	second  int
}

func newLife(t *testing.T, maxPorts int) *life {
	t.Helper()
	l := &life{t: t, netdata: newNetdata()}
	l.charts = newChartWriter(&l.text, 1, maxPorts, true)
	return l
}

// report reports a total of bytes sent per port, from port 1 on; every tenth byte
// is a packet. A negative total is a port that is not there.
func (l *life) report(totals ...int) {
	l.t.Helper()
	var ports []accounting.PortReport
	for i, total := range totals {
		if total >= 0 {
			ports = append(ports, named(uint16(i+1), fmt.Sprintf("client %d", i+1), count(uint64(total)/20, uint64(total)/2), count(uint64(total)/10, uint64(total))))
		}
	}
	l.second++
	l.text.Reset()
	if err := l.charts.write(at(time.Duration(l.second)*time.Second, ports...)); err != nil {
		l.t.Fatal(err)
	}
	l.netdata.feed(l.t, l.text.String())
}

// active returns the ids of the charts that are not obsolete.
func (l *life) active() []string {
	var ids []string
	for id, chart := range l.netdata.charts {
		if !chart.obsolete {
			ids = append(ids, strings.TrimPrefix(id, "ssmonitor."))
		}
	}
	slices.Sort(ids)
	return ids
}

func (l *life) expectActive(ports ...string) {
	l.t.Helper()
	want := []string{"total_traffic"}
	for _, port := range ports {
		want = append(want, port+"_traffic", port+"_packets")
	}
	slices.Sort(want)
	if got := l.active(); !slices.Equal(got, want) {
		l.t.Errorf("second %d: got the charts %q, want %q", l.second, got, want)
	}
}

// gained returns the sum of what a dimension gained with each update that Netdata
// takes for a continuation.
func (l *life) gained(id, dimension string) (sum int64) {
	chart := l.netdata.charts["ssmonitor."+id]
	if chart == nil {
		return 0
	}
	for i := 1; i < len(chart.updates); i++ {
		if chart.updates[i].microseconds != 0 {
			sum += chart.updates[i].values[dimension] - chart.updates[i-1].values[dimension]
		}
	}
	return sum
}

func TestChartsOfTheLargestPorts(t *testing.T) {
	l := newLife(t, 2)
	l.report(100, 300)
	l.expectActive("port_1", "port_2")
	l.report(110, 330)
	l.expectActive("port_1", "port_2")
	l.report(120, 340, 100) // the third is smaller
	l.expectActive("port_1", "port_2", "other")
	l.report(130, 350, 142) // larger, but not by a tenth
	l.expectActive("port_1", "port_2", "other")
	l.report(140, 360, 160)
	l.expectActive("port_2", "port_3", "other")
	l.report(166, 370, 160) // as before, the other way round
	l.expectActive("port_2", "port_3", "other")
	l.report(166, 370, -1)
	l.expectActive("port_1", "port_2")
	l.report(166, 370, 160)
	l.expectActive("port_1", "port_2", "other")
	l.report(0, 0, 0) // the agent has lost its state
	l.report(0, 0, 1)
	l.expectActive("port_1", "port_3", "other")
}

// TestOtherPortsLoseNothing moves ports in and out of the charts of their own: what
// all charts of ports show together is what the ports gained, each byte once.
func TestOtherPortsLoseNothing(t *testing.T) {
	const ports, most = 30, 7
	l := newLife(t, most)
	totals := make([]int, ports)
	// A generator of its own, so that each run is the same.
	random := uint32(1)
	next := func(n int) int {
		random = random*1664525 + 1013904223
		return int(random>>8) % n
	}
	for range 400 {
		for i := range totals {
			totals[i] += 20 * next(1+next(5000))
		}
		l.report(totals...)
		if got := len(l.active()); got != 1+2*most+2 {
			t.Fatalf("second %d: %d charts, want %d", l.second, got, 1+2*most+2)
		}
	}
	moved := 0
	for _, dimension := range []struct {
		name    string
		chart   string
		divisor int
	}{{"sent", "traffic", 1}, {"received", "traffic", 2}, {"sent", "packets", 10}, {"received", "packets", 20}} {
		var got, want int64
		for id := range maps.Keys(l.netdata.charts) {
			if strings.Contains(id, "port_") || strings.Contains(id, "other_") {
				if strings.HasSuffix(id, dimension.chart) {
					got += l.gained(strings.TrimPrefix(id, "ssmonitor."), dimension.name)
					moved++
				}
			}
		}
		want = l.gained("total_traffic", "sent") / int64(dimension.divisor)
		if got != want {
			t.Errorf("%s of %s: all ports gained %d in charts, want %d", dimension.name, dimension.chart, got, want)
		}
	}
	if moved < 4*(most+5) {
		t.Errorf("only %d charts were ever shown: the test moves too few ports", moved/4)
	}
}

func TestOtherPortsNeverShowASpike(t *testing.T) {
	l := newLife(t, 1)
	other := func() chartUpdate { return l.netdata.last(t, "ssmonitor.other_traffic") }
	l.report(1000, 500, 400)
	begin := other().values["sent"]
	l.report(1010, 505, 400)
	if got := other(); got.values["sent"]-begin != 5 || got.microseconds != 1_000_000 {
		t.Errorf("after 5 bytes: %+v, began at %d", got, begin)
	}
	l.report(1020, 505, 400, 800) // a port returns with its total
	if got := other().values["sent"] - begin; got != 5 {
		t.Errorf("a port that returns adds %d", got-5)
	}
	l.report(1030, 505, 400, 803)
	if got := other().values["sent"] - begin; got != 8 {
		t.Errorf("after 3 more bytes: %d", got)
	}
	before := len(l.netdata.charts["ssmonitor.other_traffic"].updates)
	l.report(1040, 0, 401, 803) // a total falls
	if after := len(l.netdata.charts["ssmonitor.other_traffic"].updates); after != before {
		t.Error("a total that fell shows as a value")
	}
	for _, id := range []string{"other_traffic", "other_packets"} {
		if want := "BEGIN 'ssmonitor." + id + "'\nSET 'received' = ''\nSET 'sent' = ''"; !strings.Contains(l.text.String(), want) {
			t.Errorf("no gap in %s:\n%s", id, &l.text)
		}
	}
	l.report(1050, 2, 401, 803)
	if got := other(); got.values["sent"]-begin != 11 || got.microseconds != 0 {
		t.Errorf("after the gap: %+v, want 11 more than %d, and no continuation", got, begin)
	}
	l.report(1060, 4, 401, 803)
	if got := other(); got.values["sent"]-begin != 13 || got.microseconds == 0 {
		t.Errorf("and then: %+v", got)
	}
	l.charts.gap()
	l.report(1070, 6, 401, 803)
	if got := other(); got.microseconds != 0 {
		t.Error("a value after a cycle without a report is told as a continuation")
	}
	// For a while there are few ports, and the others use theirs meanwhile.
	l.report(1080)
	l.expectActive("port_1")
	l.report(1090, 7000, 500, 900)
	l.expectActive("port_2", "other")
	if got := other(); got.values["sent"]-begin != 15 || got.microseconds != 0 {
		t.Errorf("the returned charts begin with %+v, want 15 more than %d", got, begin)
	}
}

// TestReturningPortAddsNothing has a port come back with a higher total after
// several reports.
func TestReturningPortAddsNothing(t *testing.T) {
	for away := range 4 {
		l := newLife(t, 1)
		l.report(1000, 500, 400, 10)
		want := l.netdata.last(t, "ssmonitor.other_traffic").values["sent"]
		for range away + 1 {
			l.report(1000, -1, 400, 10)
		}
		l.report(1000, 900, 400, 10)
		if got := l.netdata.last(t, "ssmonitor.other_traffic").values["sent"]; got != want {
			t.Errorf("after %d reports without it, the port adds %d", away+1, got-want)
		}
	}
}

// TestIdlePortsKeepTheirCharts has ports without any traffic: a new one with a
// smaller number takes no charts away.
func TestIdlePortsKeepTheirCharts(t *testing.T) {
	l := newLife(t, 1)
	l.report(-1, 0, 0)
	l.expectActive("port_2", "other")
	l.report(0, 0, 0)
	l.expectActive("port_2", "other")
}

func TestChartsWithoutPorts(t *testing.T) {
	for _, most := range []int{0, -1, math.MinInt} {
		l := newLife(t, most)
		l.report(100, 200, 300)
		l.report(110, 210, 310)
		l.expectActive()
	}
}

func TestChartsOfOneContextAreAlike(t *testing.T) {
	l := newLife(t, 3)
	l.report(100, 200, 300, 400, 500)
	type shared struct{ title, family, units, kind string }
	contexts := make(map[string]shared)
	for id, chart := range l.netdata.charts {
		is := shared{chart.title, chart.family, chart.units, chart.kind}
		if was, known := contexts[chart.context]; known && was != is {
			t.Errorf("%s is %+v, another chart of its context %+v", id, is, was)
		}
		contexts[chart.context] = is
	}
	want := map[string]shared{
		"ssmonitor.traffic":       {"Traffic of all ports", "all ports", "kilobits/s", "area"},
		"ssmonitor.port_traffic":  {"Traffic of a port", "ports", "kilobits/s", "area"},
		"ssmonitor.port_packets":  {"Packets of a port", "ports", "packets/s", "line"},
		"ssmonitor.other_traffic": {"Traffic of the other ports", "other ports", "kilobits/s", "area"},
		"ssmonitor.other_packets": {"Packets of the other ports", "other ports", "packets/s", "line"},
	}
	if difference := cmp.Diff(want, contexts, cmp.AllowUnexported(shared{})); difference != "" {
		t.Errorf("(-want +got):\n%s", difference)
	}
	other := l.netdata.charts["ssmonitor.other_traffic"]
	if other.priority != 59995 || len(other.labels) != 0 || other.dimensions["sent"] != (dimension{"incremental", -8, 1000}) {
		t.Errorf("the other ports' chart is %+v", other)
	}
}
