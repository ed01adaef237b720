package top

import (
	"math"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/output/api"
)

func TestClientsOf(t *testing.T) {
	known := func(established, addresses int32) accounting.Connections {
		return accounting.Connections{Known: true, Established: established, Addresses: addresses}
	}
	with := func(number uint16, protocols accounting.Protocols, rated bool, c accounting.Connections) accounting.PortReport {
		p := port(number, "alice", 4, 2)
		p.Port.Protocols, p.RatesKnown, p.Connections = protocols, rated, c
		return p
	}
	tests := []struct {
		name        string
		ports       []accounting.PortReport
		rated       bool
		connections accounting.Connections
		atLeast     bool
	}{
		{"one port", []accounting.PortReport{with(1, accounting.TCPAndUDP, true, known(3, 2))}, true, known(3, 2), false},
		{"two ports", []accounting.PortReport{with(1, accounting.OnlyTCP, true, known(3, 2)), with(2, accounting.OnlyTCP, true, known(5, 4))}, true, known(8, 4), true},
		{"one of two in use", []accounting.PortReport{with(1, accounting.OnlyTCP, true, known(0, 0)), with(2, accounting.OnlyTCP, true, known(5, 4))}, true, known(5, 4), false},
		{"one unknown", []accounting.PortReport{with(1, accounting.OnlyTCP, true, known(3, 2)), with(2, accounting.OnlyTCP, true, accounting.Connections{})}, true, accounting.Connections{}, false},
		{"unknown first", []accounting.PortReport{with(1, accounting.OnlyTCP, true, accounting.Connections{}), with(2, accounting.OnlyTCP, true, known(3, 2))}, true, accounting.Connections{}, false},
		{"UDP beside TCP", []accounting.PortReport{with(1, accounting.OnlyUDP, true, accounting.Connections{}), with(2, accounting.OnlyTCP, true, known(3, 2))}, true, known(3, 2), false},
		{"UDP alone", []accounting.PortReport{with(1, accounting.OnlyUDP, true, accounting.Connections{})}, true, accounting.Connections{}, false},
		{"one without rates", []accounting.PortReport{with(1, accounting.OnlyTCP, true, known(0, 0)), with(2, accounting.OnlyTCP, false, known(0, 0))}, false, known(0, 0), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clients := clientsOf(reportOf(test.ports...))
			if len(clients) != 1 {
				t.Fatalf("%d clients", len(clients))
			}
			c := clients[0]
			if c.ratesKnown != test.rated || c.connections != test.connections || c.addressesAtLeast != test.atLeast {
				t.Errorf("got rated %v, %+v, at least %v", c.ratesKnown, c.connections, c.addressesAtLeast)
			}
			if want := 4 * float64(len(test.ports)); c.in.Bytes != want {
				t.Errorf("%v bytes/s in, want %v", c.in.Bytes, want)
			}
		})
	}
}

func TestSort(t *testing.T) {
	report := reportOf(port(1, "bob", 1, 30), port(2, "Alice", 2, 20), port(10, "", 3, 10), port(9, "", 3, 10), port(3, "carol", 9, 9))
	report.Ports[4].RatesKnown = false
	report.Ports[1].Connections.Established = 9
	tests := []struct{ keys, want string }{
		{"", "bob Alice port 9 port 10 carol"},
		{"r", "port 9 port 10 Alice bob carol"}, // the other way round; unknown still last
		{"i", "port 9 port 10 Alice bob carol"},
		{"o", "bob Alice port 9 port 10 carol"},
		{"n", "Alice bob carol port 9 port 10"},
		{"nn", "port 10 port 9 carol bob Alice"},
		{"c", "Alice bob carol port 9 port 10"},
		{"<right>", "Alice bob carol port 9 port 10"},
		{"<left>", "bob Alice port 9 port 10 carol"},
		{"z<f1>", "bob Alice port 9 port 10 carol"},
	}
	for _, test := range tests {
		t.Run(test.keys, func(t *testing.T) {
			m := newModel(time.Second, true)
			m.observeReport(noon, report, nil)
			press(m, test.keys)
			var got []string
			for _, c := range m.rows {
				got = append(got, c.label)
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("by %s: got %s, want %s", columns[m.by].name, got, test.want)
			}
		})
	}
}

func TestSelectionStaysOnTheClient(t *testing.T) {
	m := newModel(time.Second, true)
	var ports []accounting.PortReport
	for i := range 100 {
		ports = append(ports, port(uint16(1000+i), "", float64(1000-i), 0))
	}
	m.observeReport(noon, reportOf(ports...), nil)
	m.resize(80, 24)
	press(m, "<down><down><down>")
	if m.selected != "port 1002" || m.row() != 2 {
		t.Fatalf("selected is %s, row %d", m.selected, m.row())
	}
	ports[2].TCP.In.Rate.Bytes = 0 // to the end
	ports[2].UDP.In.Rate.Bytes = 0
	m.observeReport(noon, reportOf(ports...), nil)
	if shown := screenshot(t, m, 80, 24); m.selected != "port 1002" || !strings.Contains(shown, ">port 1002") {
		t.Errorf("selected is %s in\n%s", m.selected, shown)
	}
	press(m, "<pgup><pgup><pgup><pgup><pgup><pgup>")
	if m.row() != 0 || m.first != 0 {
		t.Errorf("at the top, row %d, first %d", m.row(), m.first)
	}
	press(m, "<end>")
	if m.row() != 99 {
		t.Errorf("at the end, row %d", m.row())
	}
	press(m, "/nobody<enter><down>")
	if m.selected != "port 1002" || m.row() != -1 {
		t.Errorf("with no row selected is %s, row %d", m.selected, m.row())
	}
	press(m, "<esc>")
	if m.filter != "" || m.row() != 99 {
		t.Errorf("filter %q, row %d", m.filter, m.row())
	}
	press(m, "<esc>")
	if m.selected != "" {
		t.Errorf("selected is %s", m.selected)
	}
}

func TestKeysThatEnd(t *testing.T) {
	tests := []struct {
		keys string
		want action
	}{
		{"q", actionQuit},
		{"<ctrl-c>", actionQuit},
		{"<ctrl-z>", actionSuspend},
		{"/<ctrl-c>", actionQuit},
		{"/q", actionNone},
		{"?q", actionQuit},
		{"?x", actionNone},
		{"<enter>", actionDetail},
		{"<enter>q", actionNone},
		{"<enter>qq", actionQuit},
		{"<enter>?x<esc>q", actionQuit},
		{"/nobody<enter><enter>", actionNone},
	}
	for _, test := range tests {
		t.Run(test.keys, func(t *testing.T) {
			if got := press(sampleModel(), test.keys); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	tests := []struct {
		keys, want string
		rows       int
	}{
		{"/ali<enter>", "ali", 1},
		{"/20004", "20004", 1},
		{"/ALI<backspace><backspace>", "A", 5},
		{"/x<backspace><backspace>", "", 11},
		{"/xyz<ctrl-u>", "", 11},
		{"/xyz<esc>", "", 11},
		{"/a<f5><left>", "a", 5},
	}
	for _, test := range tests {
		t.Run(test.keys, func(t *testing.T) {
			m := sampleModel()
			press(m, test.keys)
			if m.filter != test.want || len(m.rows) != test.rows {
				t.Errorf("filter %q, %d rows", m.filter, len(m.rows))
			}
		})
	}
	m := sampleModel()
	for _, key := range []string{"/", "王", "小", "\x1b", "\x00", "\u202e"} {
		m.press(key)
	}
	if m.filter != "王小" || len(m.rows) != 1 {
		t.Errorf("filter %q, %d rows", m.filter, len(m.rows))
	}
	for _, key := range []string{"<ctrl-u>", "👩", "\u200d", "👩"} {
		m.press(key)
	}
	if m.filter != "👩\u200d👩" || len(m.rows) != 1 {
		t.Errorf("filter %q, %d rows, with a joiner", m.filter, len(m.rows))
	}
}

func TestPause(t *testing.T) {
	m := sampleModel()
	before := screenshot(t, m, 80, 24)
	press(m, "p")
	m.observeReport(noon.Add(time.Second), reportOf(port(1, "other", 1, 1)), nil)
	m.observeReport(noon.Add(2*time.Second), nil, api.ErrAgentNotRunning)
	if paused := screenshot(t, m, 80, 24); strings.ReplaceAll(paused, "  PAUSED", "") != before {
		t.Errorf("paused:\n%s\nbefore:\n%s", paused, before)
	}
	press(m, "p")
	if shown := screenshot(t, m, 80, 24); !strings.Contains(shown, "other") || !strings.Contains(shown, "not running") {
		t.Errorf("after the pause:\n%s", shown)
	}
}

func TestSparkline(t *testing.T) {
	rated := func(rate float64) []client {
		return []client{{label: "alice", ratesKnown: true, in: accounting.Rate{Bytes: rate}}}
	}
	tests := []struct {
		name  string
		rates []float64 // per bin; NaN: none
		want  string
	}{
		{"nothing", nil, ""},
		{"idle", []float64{0, 0}, "      ▁▁"},
		{"rising", []float64{0, 1, 2, 3, 4, 5, 6, 7}, "▁▂▃▄▅▆▇█"},
		{"a little is not nothing", []float64{0, 1e-9, 1000}, "     ▁▂█"},
		{"gap", []float64{1, math.NaN(), 1}, "     █ █"},
		{"only the last", []float64{100, 1, 1, 1, 1, 1, 1, 1, 2}, "▅▅▅▅▅▅▅█"},
		{"huge", []float64{math.MaxFloat64, 1}, "      █▂"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory(time.Second)
			now := noon
			for _, rate := range test.rates {
				now = now.Add(minBin)
				if !math.IsNaN(rate) {
					h.add(now, rated(rate))
				}
			}
			if got := h.sparkline("alice", now, 8, blocks); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	h := newHistory(time.Second)
	h.add(noon, rated(4))
	h.add(noon.Add(time.Second), rated(0))
	h.add(noon.Add(minBin), rated(1))
	if got := h.sparkline("alice", noon.Add(minBin), 2, ascii); got != "#+" {
		t.Errorf("the mean of a bin: %q", got)
	}
	h.add(noon.Add(historyBins*minBin), rated(1)) // the first bin is overwritten
	if got := h.sparkline("alice", noon.Add(historyBins*minBin), historyBins, ascii); strings.Count(got, "#") != 2 {
		t.Errorf("after a turn: %q", got)
	}
	h.add(noon.Add(24*time.Hour), nil)
	if len(h.clients) != 0 {
		t.Errorf("%d clients after a day without", len(h.clients))
	}
	h.add(noon, rated(1)) // the clock was set back
	if got := h.sparkline("alice", noon, 3, ascii); got != "  #" {
		t.Errorf("after the clock was set back: %q", got)
	}
}

// TestUsageThatIsNotKnown has a client that is not in the agent's answer: it has used
// nothing, until its totals grow.
func TestUsageThatIsNotKnown(t *testing.T) {
	report := func(bytes uint64) *accounting.Report {
		alice := port(20000, "alice", 1, 1)
		alice.TCP.In.Total.Bytes = bytes
		return reportOf(alice)
	}
	m := (&Top{}).newModel(true)
	answer := func() *api.Usage { return &api.Usage{Until: noon.Add(time.Hour)} }
	expect := func(what, want string) {
		t.Helper()
		if c := m.client("alice"); c.today.String() != want || c.month.String() != want {
			t.Errorf("%s: got today %s and month %s, want %s", what, c.today, c.month, want)
		}
		m.detail = &detail{label: "alice", hours: answer()}
		m.resize(80, 40)
		none := want != unknown
		if view := m.detailBody(); strings.Contains(view[2].String(), "month "+want) != true || strings.Contains(view[len(view)-1].String(), "none yet") != none {
			t.Errorf("%s: the detail shows %v", what, view)
		}
		m.detail = nil
	}
	m.observeUsage(noon, answer(), answer(), nil) // before the first report
	m.observeReport(noon, report(100), nil)
	expect("before the first report", unknown)
	m.observeUsage(noon, answer(), answer(), nil)
	expect("nothing since", "0 B")
	m.observeReport(noon, report(40_000_000), nil)
	expect("40 MB since", unknown)
	month := answer()
	month.Periods = []api.UsagePeriod{{Clients: []api.UsageClient{{Client: "alice", UsageSum: api.UsageSum{Bytes: 7}}}}}
	m.observeUsage(noon, month, month, nil)
	expect("in the answer", "7 B")
}
