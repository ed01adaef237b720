package top

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/health"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
)

func TestViewOfTheTable(t *testing.T) {
	tests := []struct {
		name          string
		keys          string
		width, height int
	}{
		{"small", "", 80, 24},
		{"large", "", 200, 50},
		{"narrow", "", 50, 12},
		{"scrolled", "<end><up>", 80, 12},
		{"filtered", "/LI<enter>", 80, 12},
		{"filtering", "/nothing like it", 80, 12},
		{"sorted", "n", 80, 20},
		{"paused", " ", 80, 12},
		{"help", "?", 80, 26},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := sampleModel()
			m.resize(test.width, test.height)
			press(m, test.keys)
			golden(t, test.name, m, test.width, test.height)
		})
	}
}

func TestViewFitsEveryWindow(t *testing.T) {
	for _, keys := range []string{"", "<down>", "?", "/x", "<enter>"} {
		for _, size := range [][2]int{{0, 0}, {1, 1}, {2, 3}, {10, 5}, {20, 4}, {57, 9}, {66, 9}, {300, 100}} {
			m := sampleModel()
			press(m, keys)
			if size[1] > 0 {
				screenshot(t, m, size[0], size[1])
			} else {
				m.resize(size[0], size[1])
				m.view()
			}
		}
	}
}

func TestViewOfOneClient(t *testing.T) {
	m := sampleModel()
	press(m, "n<down><down><enter>") // a name, alice
	hours := &api.Usage{By: usage.ByHour, Until: noon.Add(12 * time.Hour)}
	for i := range 3 {
		start := noon.Add(time.Duration(i-2) * time.Hour)
		hour := api.UsagePeriod{Start: start, End: start.Add(time.Hour), Total: api.UsageSum{
			Bytes: uint64(i+1) * 1000, In: api.UsageCount{Bytes: uint64(i) * 1000}, Out: api.UsageCount{Bytes: 1000},
		}}
		hours.Periods = append(hours.Periods, hour)
	}
	label, ports, open := m.openedClient()
	if label != "alice" || len(ports) != 2 || !open {
		t.Errorf("the detail is of %q, %v", label, ports)
	}
	m.observeHours("bob", nil, errors.New("of another client"))
	m.observeHours(label, hours, nil)
	address := netip.MustParseAddr
	m.observeRemotes(label, []sockdiag.Remote{
		{Address: address("192.0.2.1"), Connections: 1}, {Address: address("2001:db8::1"), Connections: 2}, {Address: address("192.0.2.1"), Connections: 2},
	}, nil)
	golden(t, "client", m, 80, 30)
	m.press(keyEnd)
	golden(t, "client-end", m, 60, 12)
	m.observeReport(noon, nil, api.ErrAgentNotRunning)
	golden(t, "client-outage", m, 80, 30)
	m.observeReport(noon.Add(12*time.Hour), sampleReport(), nil)
	if shown := screenshot(t, m, 80, 30); strings.Contains(shown, "10:00") || !strings.Contains(shown, "OUT\n -\n") {
		t.Errorf("after midnight:\n%s", shown)
	}
	m.observeReport(noon, reportOf(port(20001, "bob", 1, 1)), nil)
	golden(t, "client-removed", m, 80, 10)
}

// TestClientWithoutUsageToday has no hour to show, which is not the same as unknown
// hours, and shows the remedy of an error whole.
func TestClientWithoutUsageToday(t *testing.T) {
	m := sampleModel()
	press(m, "n<down><down><enter>")
	label, _, _ := m.openedClient()
	m.observeHours(label, &api.Usage{By: usage.ByHour, Until: noon.Add(12 * time.Hour)}, nil)
	m.observeRemotes(label, nil, errors.New("the agent, process 14728, is in another network namespace: run top there: nsenter --net --target 14728 ssmonitor top"))
	shown := screenshot(t, m, 80, 30)
	if !strings.Contains(shown, "OUT\n none yet\n") {
		t.Errorf("no usage is not shown:\n%s", shown)
	}
	if words := strings.Join(strings.Fields(shown), " "); !strings.Contains(words, "--target 14728 ssmonitor top") {
		t.Errorf("the remedy is cut off:\n%s", shown)
	}
}

// TestNoStaleNumbers lets the agent end: every number is unknown until it answers
// again.
func TestNoStaleNumbers(t *testing.T) {
	m := newModel(time.Second, false)
	golden(t, "waiting", m, 80, 8)
	m.observeReport(noon, reportOf(), nil)
	golden(t, "no-ports", m, 80, 8)
	m = sampleModel()
	m.observeReport(noon, nil, errors.New("asking the agent on /run/ssmonitor/ssmonitor.sock: the agent is not running: start it (systemctl start ssmonitor)"))
	golden(t, "outage", m, 80, 24)
	m.observeReport(noon.Add(time.Second), sampleReport(), nil)
	for _, c := range m.rows {
		if c.today.known || c.month.known || c.limit.Limit != 0 {
			t.Errorf("the usage of %s is known before the agent has been asked", c.label)
		}
	}
	today, month := sampleUsage()
	m.observeUsage(noon, today, month, nil)
	m.observeReport(noon.Add(12*time.Hour), sampleReport(), nil) // after midnight
	for _, c := range m.rows {
		if c.today.known || !c.month.known {
			t.Errorf("%s: after midnight today is %v and the month %v", c.label, c.today, c.month)
		}
	}
	m.observeUsage(noon, nil, nil, errors.New("the database is locked"))
	if shown := screenshot(t, m, 80, 24); !strings.Contains(shown, "usage: the database is locked") || m.rows[0].month.known {
		t.Errorf("without usage:\n%s", shown)
	}
}

func TestPlainTableAndJSON(t *testing.T) {
	m := sampleModel()
	var text bytes.Buffer
	if err := m.writeTable(&text); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "once.golden", text.String())
	text.Reset()
	if err := m.writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Count(text.String(), "\n") != 1 {
		t.Errorf("want one line:\n%s", &text)
	}
	testkit.Golden(t, "once.json", text.String())
}

// TestViewShowsProblems has the agent know one problem, and another one later.
func TestViewShowsProblems(t *testing.T) {
	m := sampleModel()
	m.latest.problems = []health.Problem{{ID: health.Saves, Since: noon, Message: "the disk is\x1b[2J full"}}
	m.refresh()
	if got := screenshot(t, m, 100, 24); !strings.Contains(got, "\n since 2026-11-22 12:00: the disk is\\x1b[2J full: see ssmonitor check\n") {
		t.Errorf("got\n%s", got)
	}
	m.latest.problems = append(m.latest.problems, health.Problem{ID: health.CSVFile})
	m.refresh()
	if got := screenshot(t, m, 100, 24); !strings.Contains(got, "full, and 1 more: see ssmonitor check\n") {
		t.Errorf("got\n%s", got)
	}
}
