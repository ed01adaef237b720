package checkup_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/checkup"
	"ssmonitor/internal/finding"
)

// answers is a kernel that gives fixed answers: the decisions are under test
// here. The command's tests ask the real one.
type answers struct {
	support     checkup.Support
	supportErr  error
	differences []string
	verifyErr   error
	rules       checkup.Rules
	rulesErr    error
}

func (a *answers) Support() (checkup.Support, error)         { return a.support, a.supportErr }
func (a *answers) Verify(accounting.Ports) ([]string, error) { return a.differences, a.verifyErr }
func (a *answers) Rules(accounting.Ports, []accounting.Target) (checkup.Rules, error) {
	return a.rules, a.rulesErr
}

// newCheck returns a check of a machine where all is well, and its kernel.
func newCheck(t *testing.T) (*checkup.Check, *answers) {
	t.Helper()
	m := newMachine(t)
	kernel := &answers{support: checkup.Support{CounterMaps: true, OwnedTables: true}}
	return &checkup.Check{
		Machine: m.Machine, Kernel: kernel,
		Sources: sources.Sources{Ports: portsOf(1, 2)}, List: list(t, "1\n2\n"), State: "/state", Group: group,
		Interval: 2 * time.Second, Hook: "host", Own: "no",
		Agent: checkup.AgentState{Holder: checkup.Holder{PID: 42, Command: "run"}},
	}, kernel
}

// wantProblems compares the findings that are not ok.
func wantProblems(t *testing.T, c *checkup.Check, want ...string) {
	t.Helper()
	var got []finding.Finding
	for _, f := range c.Findings() {
		if f.Level != finding.OK {
			got = append(got, f)
		}
	}
	wantFindings(t, got, want...)
}

func TestFindings(t *testing.T) {
	c, _ := newCheck(t)
	wantFindings(t, c.Findings(), "ok kernel-nf-tables", "ok kernel-counter-maps", "ok kernel-owned-tables has owned tables",
		"ok agent process 42 holds /state", "ok ledger usage", "ok port-list", "ok counter-table counts 2 ports at hook host")
}

func TestLedgerFindings(t *testing.T) {
	for _, test := range []struct {
		name     string
		err      error
		problems []string
		want     []string
	}{
		{"nothing saved yet", fs.ErrNotExist, nil, nil},
		{"may not be read", fs.ErrPermission, nil, []string{"unknown ledger may not read /state"}},
		{"damaged", errors.New("ssmonitor.db is damaged"), nil, []string{"wrong ledger is damaged"}},
		{"usage that is not the totals", nil, []string{"tcp port 1: 5 bytes"}, []string{"wrong ledger tcp port 1: 5 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newCheck(t)
			c.LedgerErr, c.LedgerProblems = test.err, test.problems
			wantProblems(t, c, test.want...)
		})
	}
}

func TestKernelFindings(t *testing.T) {
	const noList = "wrong port-list"
	refused := &fs.PathError{Op: "socket", Path: "netlink", Err: fs.ErrPermission}
	for _, test := range []struct {
		name    string
		prepare func(*checkup.Check, *answers)
		want    []string
	}{
		{"no privilege", func(c *checkup.Check, _ *answers) { c.Machine.UID, c.Kernel, c.KernelErr = 1000, nil, refused }, []string{"unknown privilege run it as root"}},
		{"no privilege in a container", func(c *checkup.Check, _ *answers) {
			c.Kernel, c.KernelErr, c.KernelRemedy = nil, refused, "--cap-add NET_ADMIN"
		}, []string{"unknown privilege --cap-add NET_ADMIN"}},
		{"no nf_tables", func(c *checkup.Check, _ *answers) {
			c.Kernel, c.KernelErr, c.KernelRemedy = nil, errors.New("no nf_tables"), "modprobe nf_tables"
		}, []string{"wrong kernel-nf-tables modprobe nf_tables"}},
		{"no counter maps", func(_ *checkup.Check, k *answers) { k.support = checkup.Support{} }, []string{"wrong kernel-counter-maps modprobe nft_objref"}},
		{"support not known", func(_ *checkup.Check, k *answers) { k.supportErr = errors.New("EIO") }, []string{"wrong kernel-counter-maps EIO"}},
		{"owned tables not needed", func(_ *checkup.Check, k *answers) { k.support.OwnedTables = false }, nil},
		{"owned tables needed", func(c *checkup.Check, k *answers) { k.support.OwnedTables, c.Own = false, "yes" },
			[]string{"wrong kernel-owned-tables auto or no"}},
		{"table differs, agent running", func(_ *checkup.Check, k *answers) { k.differences = []string{"this", "that"} },
			[]string{"wrong counter-table this; that"}},
		{"table differs, no agent", func(c *checkup.Check, k *answers) { c.Agent, k.differences = checkup.AgentState{}, []string{"this"} },
			[]string{"wrong agent", "wrong counter-table install it: ssmonitor setup"}},
		{"foreign table", func(_ *checkup.Check, k *answers) { k.verifyErr = checkup.ErrForeignTable }, []string{"wrong counter-table nft list table inet ssmonitor"}},
		{"table not readable", func(_ *checkup.Check, k *answers) { k.verifyErr = errors.New("EIO") }, []string{"wrong counter-table EIO"}},
		{"rules not readable", func(_ *checkup.Check, k *answers) { k.rulesErr = errors.New("EIO") }, []string{"wrong ruleset EIO"}},
		{"a rule not readable", func(_ *checkup.Check, k *answers) { k.rules.Unread = []error{errors.New("chain ip x y: EIO")} },
			[]string{"unknown ruleset chain ip x y"}},
		{"no ports", func(c *checkup.Check, k *answers) {
			c.List, c.Sources.Ports, k.differences = "/nosuch", nil, []string{"the table is gone"}
		}, []string{"note configuration-search", noList}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, kernel := newCheck(t)
			test.prepare(c, kernel)
			wantProblems(t, c, test.want...)
		})
	}
}

func TestRulesetFindings(t *testing.T) {
	published := finding.Finding{ID: finding.PortDNAT, Level: finding.Unknown, Subject: "chain ip nat DOCKER", Message: "who knows", Remedy: "look"}
	for _, test := range []struct {
		name  string
		rules checkup.Rules
		want  []string
	}{
		{"published", checkup.Rules{Published: []finding.Finding{published}}, []string{"unknown port-dnat who knows"}},
		{"mirrors", checkup.Rules{Mirrors: []string{"ip mirror c"}}, []string{"wrong mirrored-packets chain ip mirror c"}},
		{"later drop chain", checkup.Rules{LaterDropChains: []string{"inet late c"}}, []string{"note later-drop-chain chain inet late c"}},
		{"counting rules", checkup.Rules{CountingRules: []string{"ip filter INPUT", "ip filter INPUT", "ip filter FORWARD"}},
			[]string{"note counting-rules chain ip filter INPUT has 2 rules", "note counting-rules chain ip filter FORWARD has 1 rule that"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, kernel := newCheck(t)
			kernel.rules = test.rules
			wantProblems(t, c, test.want...)
		})
	}
}

func TestAgentFindings(t *testing.T) {
	report := &accounting.Report{Time: time.Now(), Ports: []accounting.PortReport{{Port: portsOf(1)[0]}, {Port: portsOf(2)[0]}}}
	holder := func(command string) checkup.Holder { return checkup.Holder{PID: 42, Command: command} }
	away := errors.New("the agent is not running")
	for _, test := range []struct {
		name   string
		socket string
		agent  checkup.AgentState
		want   string
	}{
		{"answers", socket, checkup.AgentState{Report: report, Holder: holder("run")}, "ok agent 2 ports, last read"},
		{"may not connect", socket, checkup.AgentState{ReportErr: fs.ErrPermission, Holder: holder("run")}, "unknown agent usermod"},
		{"does not answer", socket, checkup.AgentState{ReportErr: away, NotListening: true, Holder: holder("run")}, "wrong agent does not answer on"},
		{"another command", socket, checkup.AgentState{ReportErr: away, NotListening: true, Holder: holder("teardown")}, "note agent ssmonitor teardown"},
		{"malformed answer", socket, checkup.AgentState{ReportErr: errors.New("malformed")}, "wrong agent malformed"},
		{"not running", socket, checkup.AgentState{ReportErr: away, NotListening: true}, "wrong agent systemctl enable --now"},
		{"not running, state closed", socket, checkup.AgentState{ReportErr: away, NotListening: true, HolderErr: fs.ErrPermission}, "wrong agent no agent is running"},
		{"state closed, no socket", "", checkup.AgentState{HolderErr: fs.ErrPermission}, "unknown agent permission denied"},
		{"state unreadable", "", checkup.AgentState{HolderErr: errors.New("EIO")}, "wrong agent --state names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newCheck(t)
			c.Socket, c.Agent = test.socket, test.agent
			for _, f := range c.Findings() {
				if f.ID == finding.Agent {
					wantFindings(t, []finding.Finding{f}, test.want)
				}
			}
		})
	}
}

func TestSettingsFindings(t *testing.T) {
	c, _ := newCheck(t)
	c.SettingsErr = errors.New("config.yaml: [1:1] unknown field")
	wantProblems(t, c, "wrong settings this check uses defaults")
	c.SettingsErr = &fs.PathError{Op: "open", Path: "config.yaml", Err: fs.ErrPermission}
	wantProblems(t, c, "unknown settings grant CAP_DAC_OVERRIDE")
	c.Machine.UID = 1000
	wantProblems(t, c, "unknown settings run it as root")
}

func TestSearchAsUser(t *testing.T) {
	c, _ := newCheck(t)
	c.Sources.SearchRoot, c.Machine.UID = c.Machine.Root, 1000
	wantProblems(t, c, "unknown configuration-search run it as root")
}

// TestCSVInterval checks that the CSV file is judged by the interval of the agent
// that answers.
func TestCSVInterval(t *testing.T) {
	c, _ := newCheck(t)
	m := machine{c.Machine, t}
	m.write(csv, "", 0o644, time.Minute)
	c.CSV = csv
	c.Agent.Report = &accounting.Report{Time: m.Now, Interval: 30 * time.Second, Ports: []accounting.PortReport{{Port: portsOf(1)[0]}, {Port: portsOf(2)[0]}}}
	wantProblems(t, c)
	c.Agent.Report.Interval = time.Second
	wantProblems(t, c, "wrong csv-file 1m0s old")
}
