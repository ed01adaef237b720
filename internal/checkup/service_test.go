package checkup

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/health"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/unit"
	"ssmonitor/output/api"
)

// findingsOf returns the findings with an id.
func findingsOf(c *checker, id finding.ID) (found []finding.Finding) {
	for _, f := range c.findings() {
		if f.ID == id {
			found = append(found, f)
		}
	}
	return found
}

// TestDeadAgent has systemd know why no agent is running. What can't work is not advised.
func TestDeadAgent(t *testing.T) {
	for _, test := range []struct {
		name    string
		service *unit.Service
		message string
		remedy  string
	}{
		{"no unit", nil, "are not kept", "ssmonitor run (or install the package"},
		{"stopped", &unit.Service{Loaded: "loaded", Active: "inactive", Result: "success"}, "are not kept", "enable --now"},
		{"masked", &unit.Service{Loaded: "masked", Active: "inactive"}, "is masked", "systemctl unmask ssmonitor\n"},
		{"starting", &unit.Service{Active: "activating", Result: "success"}, "is starting", "wait"},
		{"settings", &unit.Service{Active: "failed", Result: "exit-code", Reason: "month-day 31"}, "ssmonitor.service failed: month-day 31", "correct that: journalctl --unit ssmonitor.service has more\nthen start it again: systemctl restart ssmonitor.service"},
		{"settings, tried again", &unit.Service{Active: "activating", Result: "exit-code", Reason: "x\x1b[2J"}, `failed: x\x1b[2J`, "systemd goes on trying"},
		{"watchdog", &unit.Service{Active: "failed", Result: "watchdog"}, "watchdog ended it", "report it"},
		{"memory", &unit.Service{Active: "failed", Result: "oom-kill"}, "memory was short", "MemoryMax="},
		{"a unit that is not valid", &unit.Service{Loaded: "bad-setting", Active: "failed", Result: "exit-code"}, "systemd can't use ssmonitor.service", "systemctl edit ssmonitor"},
		{"signal", &unit.Service{Active: "failed", Result: "signal", Status: 9}, "signal 9 (killed)", "then start it again"},
	} {
		c, _ := newCheck(t)
		c.Settings.Socket, c.agent = socket, agentState{ReportErr: api.ErrAgentNotRunning}
		c.agentService = test.service
		got := findingsOf(c, finding.Agent)
		if len(got) != 1 || got[0].Level != finding.Wrong || !strings.Contains(got[0].Message, test.message) || !strings.Contains(got[0].Remedy, test.remedy) ||
			test.service != nil && test.service.Failed() && strings.Contains(got[0].Remedy, "enable --now") {
			t.Errorf("%s: got %+v", test.name, got)
		}
	}
}

// TestDeadAgentBesideUnits has no service that systemd tells of: it can't be asked, or has
// the blog's unit in place of ours.
func TestDeadAgentBesideUnits(t *testing.T) {
	for _, test := range []struct{ path, unit, want string }{
		{"/usr/lib/systemd/system/ssmonitor.service", "ExecStart=/usr/bin/ssmonitor run\n", startAgent},
		{"/etc/systemd/system/ssmonitor.service", "ExecStart=/usr/bin/ssmonitor.py\n", "first remove /etc/systemd/system/ssmonitor.service, which starts the old script: what to do about it is below"},
	} {
		c, _ := newCheck(t)
		c.agent = agentState{}
		testkit.WriteFile(t, c.Machine.path(test.path), test.unit)
		if got := findingsOf(c, finding.Agent); len(got) != 1 || got[0].Remedy != test.want {
			t.Errorf("got %+v", got)
		}
	}
}

// TestMistakesAreSaidOnce has mistakes that a service and the agent complain of: this check
// finds them as well, or they are corrected by now.
func TestMistakesAreSaidOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	load := func(content string) (*settings.Settings, error) {
		testkit.WriteFile(t, path, content)
		return settings.Inputs{Keys: settings.All(), File: path}.Load()
	}
	_, mistakes := load("month-day: 31\ninterval: 5\n")
	text := terminal.Line(mistakes)
	c, _ := newCheck(t)
	c.SettingsErr, c.agent = mistakes, agentState{Problems: []health.Problem{{ID: health.Settings, Level: health.Wrong, Message: "those in force stay: " + text, Remedy: "correct the file"}}}
	c.agentService = &unit.Service{Active: "failed", Result: "exit-code", Reason: text}
	c.setupService = &unit.Service{Active: "failed", Result: "exit-code", Reason: text + "; and another"}
	wantProblems(t, c, "wrong settings found 31", "wrong settings found 5", "wrong agent failed: the reason is what is wrong above",
		"note agent-problem those in force stay", "wrong setup-service found 5; and another")
	c.agent.Problems[0].Message += "; another: no"
	wantFindings(t, findingsOf(c, finding.AgentProblem)[1:], "wrong agent-problem found 5; another: no")

	c, _ = newCheck(t)
	c.agent, c.agentService = agentState{}, &unit.Service{Active: "failed", Result: "exit-code", Reason: text}
	if _, err := load("interval: 5s\n"); err != nil {
		t.Fatal(err)
	}
	got := findingsOf(c, finding.Agent)
	wantFindings(t, got, "wrong agent failed: "+path+" had a mistake, and is correct by now")
	if got[0].Remedy != "start it: systemctl restart ssmonitor.service" {
		t.Errorf("got %+v", got)
	}
}

// TestServiceThatAnotherAgentKeepsFromStarting has that agent without the socket.
func TestServiceThatAnotherAgentKeepsFromStarting(t *testing.T) {
	c, _ := newCheck(t)
	c.Settings.Socket = socket
	c.agent = agentState{ReportErr: api.ErrAgentNotRunning, Holder: &store.LockedError{PID: 7, Holder: store.AgentHolder}}
	wantFindings(t, findingsOf(c, finding.Agent), "wrong agent process 7, does not answer on")
	c.found, c.agentService = nil, &unit.Service{Active: "activating", Result: "exit-code", Reason: "held"}
	got := findingsOf(c, finding.Agent)
	wantFindings(t, got, "wrong agent ssmonitor.service failed: held; the agent that runs, process 7,")
	if !strings.HasPrefix(got[0].Remedy, "end that process, if the service is to count: kill 7\n") {
		t.Errorf("got %+v", got)
	}
}

func TestSetupServiceFindings(t *testing.T) {
	c, _ := newCheck(t)
	c.setupService = &unit.Service{Active: "active", Result: "success"}
	if got := findingsOf(c, finding.SetupService); got != nil {
		t.Errorf("while it runs: got %+v", got)
	}
	c.setupService = &unit.Service{Active: "failed", Result: "exit-code", Reason: "line 3"}
	wantFindings(t, findingsOf(c, finding.SetupService), "wrong setup-service line 3")
}

// TestServiceThatIsNotKnown has no systemd, and a systemd without the unit.
func TestServiceThatIsNotKnown(t *testing.T) {
	for _, machine := range []*Machine{
		{},
		{Service: func(context.Context, string) (*unit.Service, error) { return nil, errors.New("no bus") }},
		{Service: func(context.Context, string) (*unit.Service, error) { return &unit.Service{Loaded: "not-found"}, nil }},
	} {
		if got := machine.readService(t.Context(), agentService); got != nil {
			t.Errorf("got %+v", got)
		}
	}
}

// TestProblemFindings has an agent that knows two problems, and one that is too old.
func TestProblemFindings(t *testing.T) {
	c, _ := newCheck(t)
	c.agent.Problems = []health.Problem{
		{ID: health.Saves, Since: time.Date(2026, 12, 1, 12, 0, 0, 0, time.Local), Message: "disk full", Remedy: "make room"},
		{ID: health.CSVFile, Message: "gone", Remedy: "wait"},
		{ID: health.Connections, Level: health.Note, Message: "not supported"},
	}
	got := findingsOf(c, finding.AgentProblem)
	wantFindings(t, got, "wrong agent-problem since 2026-12-01 12:00:00: disk full", "wrong agent-problem gone", "note agent-problem not supported")
	if len(got) > 0 && (got[0].Subject != "saves" || got[0].Remedy != "make room") {
		t.Errorf("got %+v", got[0])
	}
	c, _ = newCheck(t)
	c.agent.Report, c.agent.ProblemsErr = &accounting.Report{}, api.ErrOldAgent
	wantFindings(t, findingsOf(c, finding.AgentProblem), "unknown agent-problem older than this program")
}

// TestMetricsServiceFindings turns the socket on, which then does or does not work.
func TestMetricsServiceFindings(t *testing.T) {
	enabled := &unit.Service{Enabled: "enabled", Active: "active", Result: "success"}
	failed := &unit.Service{Active: "activating", Result: "exit-code", Reason: "web.yml: permission denied"}
	for _, test := range []struct {
		name            string
		socket, service *unit.Service
		listen          string
		level           finding.Level
		message         string
	}{
		{"off", &unit.Service{Enabled: "disabled", Active: "inactive"}, nil, "127.0.0.1:9924", 0, ""},
		{"on", enabled, &unit.Service{Active: "active", Result: "success"}, "", 0, ""},
		{"on, nobody has asked yet", enabled, &unit.Service{Active: "inactive", Result: "success"}, "", 0, ""},
		{"on, with an address of its own", enabled, nil, "127.0.0.1:9924", finding.Note, "key listen: 127.0.0.1:9924 has no effect"},
		{"not active", &unit.Service{Enabled: "enabled", Active: "failed"}, nil, "", finding.Wrong, "ssmonitor-metrics.socket is enabled, but failed"},
		{"the service fails", enabled, failed, "", finding.Wrong, "ssmonitor-metrics.service failed: web.yml: permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newCheck(t)
			if test.listen != "" {
				c.load(t, "listen: "+test.listen+"\n")
			}
			c.metricsSocket, c.metricsService = test.socket, test.service
			got := findingsOf(c, finding.MetricsService)
			if test.message == "" && got != nil || test.message != "" && (len(got) != 1 || got[0].Level != test.level || !strings.Contains(got[0].Message, test.message)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
