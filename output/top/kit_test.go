package top

import (
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// port returns a port with rates and connections.
func port(number uint16, name string, in, out float64) accounting.PortReport {
	return accounting.PortReport{
		Port: accounting.Port{Number: number, Protocols: accounting.TCPAndUDP, Name: name},
		TCP: accounting.Traffic{
			In:  accounting.Flow{Total: accounting.Count{Bytes: 123456}, Rate: accounting.Rate{Bytes: in * 0.75}},
			Out: accounting.Flow{Total: accounting.Count{Bytes: 7890123}, Rate: accounting.Rate{Bytes: out}},
		},
		UDP:         accounting.Traffic{In: accounting.Flow{Rate: accounting.Rate{Bytes: in * 0.25}}},
		RatesKnown:  true,
		Connections: accounting.Connections{Known: true, Established: 3, Addresses: 2},
	}
}

func reportOf(ports ...accounting.PortReport) *accounting.Report {
	report := &accounting.Report{Time: noon, Interval: 2 * time.Second, Ports: ports}
	for i := range ports {
		sum := ports[i].Sum()
		report.Total.In.Rate.Bytes += sum.In.Rate.Bytes
		report.Total.Out.Rate.Bytes += sum.Out.Rate.Bytes
	}
	return report
}

// Report has a client of two ports, names of several scripts, a port without
// a name, one without rates, one of UDP alone and one in a container.
func sampleReport() *accounting.Report {
	unrated := port(20005, "new", 0, 0)
	unrated.RatesKnown = false
	udp := port(20006, "only-udp", 10, 0)
	udp.Port.Protocols, udp.TCP, udp.Connections = accounting.OnlyUDP, accounting.Traffic{}, accounting.Connections{}
	container := port(20007, "container", 999_994, 5)
	container.Connections = accounting.Connections{}
	idle := port(20009, "idle", 0, 0)
	idle.Connections = accounting.Connections{Known: true}
	return reportOf(
		port(20000, "alice", 60_000, 2_000_000), port(20001, "王小明的手機", 5_000, 12_345_678),
		port(20002, "علی رضا", 300, 4_000), port(20003, "👩‍👩‍👧 family", 7, 8),
		port(20004, "", 1_000_000_000, 1), unrated, udp, container,
		port(20008, "alice", 1, 0), idle,
		port(20010, "a name that is much longer than the column of names in a small terminal", 20, 30),
		port(20011, "escape\x1b[31m \u202emarks", 1, 1),
	)
}

func usageOf(by usage.Period, until time.Time, bytes map[string]uint64) *api.Usage {
	period := api.UsagePeriod{Start: until.AddDate(0, 0, -1), End: until}
	for name, used := range bytes {
		period.Clients = append(period.Clients, api.UsageClient{Client: name, Ports: []uint16{20000}, UsageSum: api.UsageSum{Bytes: used}})
	}
	return &api.Usage{By: by, Since: period.Start, Until: until, Periods: []api.UsagePeriod{period}}
}

func sampleUsage() (today, month *api.Usage) {
	midnight := noon.Add(12 * time.Hour)
	today = usageOf(usage.ByTotal, midnight, map[string]uint64{"alice": 5_000_000, "王小明的手機": 1})
	month = usageOf(usage.ByTotal, midnight.AddDate(0, 0, 8), map[string]uint64{"alice": 46_900_000_000, "王小明的手機": 120_000_000_000})
	month.Limits = []api.UsageLimit{
		{Client: "alice", Used: 46_900_000_000, Limit: 100_000_000_000},
		{Client: "王小明的手機", Used: 120_000_000_000, Limit: 100_000_000_000, Over: true},
	}
	return today, month
}

func newModel(interval time.Duration, unicode bool) *model {
	return (&Top{Host: "server", Interval: interval}).newModel(unicode)
}

// sampleModel has seen the sample for two minutes, with an outage between.
func sampleModel() *model {
	m := newModel(2*time.Second, true)
	for i := range 12 {
		at := noon.Add(time.Duration(i-11) * 10 * time.Second)
		if i == 6 || i == 7 {
			m.observeReport(at, nil, api.ErrAgentNotRunning)
			continue
		}
		report := sampleReport()
		report.Ports[0].TCP.Out.Rate.Bytes *= float64(i) / 11
		m.observeReport(at, report, nil)
	}
	today, month := sampleUsage()
	m.observeUsage(noon, today, month, nil)
	return m
}

// press presses the keys one after the other: names in angle brackets, or single
// characters.
func press(m *model, keys string) (last action) {
	for keys != "" {
		key := keys[:1]
		if keys[0] == '<' {
			key = keys[:strings.IndexByte(keys, '>')+1]
		}
		last = m.press(key)
		m.resize(80, 24) // as the terminal does, which sets the page
		keys = keys[len(key):]
	}
	return last
}

// screenshot returns the view as text. It checks that it fits.
func screenshot(t *testing.T, m *model, width, height int) string {
	t.Helper()
	m.resize(width, height)
	lines := m.view()
	if len(lines) != height {
		t.Errorf("%dx%d: %d lines", width, height, len(lines))
	}
	var text strings.Builder
	for _, line := range lines {
		if w := terminal.Width(line.String()); w > width {
			t.Errorf("%dx%d: a line of %d: %q", width, height, w, line)
		}
		text.WriteString(line.String() + "\n")
	}
	return text.String()
}

// golden compares the view with a file.
func golden(t *testing.T, name string, m *model, width, height int) {
	t.Helper()
	testkit.Golden(t, name+".golden", screenshot(t, m, width, height))
}
