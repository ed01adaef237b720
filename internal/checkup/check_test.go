package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
	"ssmonitor/output/api"
)

// answers is a kernel that gives fixed answers: the decisions are under test
// here. The command's tests ask the real one.
type answers struct {
	support     nft.Support
	supportErr  error
	installed   []accounting.Target
	differences []string
	verifyErr   error
	scene       publishing.Scene
	rulesErr    error
	forwarding  accounting.Forwarding // that was set
}

func (a *answers) Support() (nft.Support, error)             { return a.support, a.supportErr }
func (a *answers) Targets() ([]accounting.Target, error)     { return a.installed, nil }
func (a *answers) SetForwarding(f accounting.Forwarding)     { a.forwarding = f }
func (a *answers) Verify(accounting.Ports) ([]string, error) { return a.differences, a.verifyErr }
func (a *answers) observe(_ nft.Hook, installed []accounting.Target) (*publishing.Scene, error) {
	a.scene.Hook, a.scene.Installed = nft.HookHost, installed
	a.scene.Listens = func(accounting.Protocol, uint16) bool { return false }
	a.scene.Connected = func(targets []accounting.Target) ([]accounting.Target, error) { return nil, nil }
	return &a.scene, a.rulesErr
}

// newCheck returns a check of a machine where all is well, and its kernel.
func newCheck(t *testing.T) (*checker, *answers) {
	t.Helper()
	m := newMachine(t)
	m.Now = m.Now.Add(time.Minute) // the files that tests write were not changed just now
	kernel := &answers{support: nft.Support{ObjectMaps: true, OwnedTables: true}, scene: publishing.Scene{Rules: new(survey.Survey)}}
	m.Observe = kernel.observe
	return &checker{
		Check: Check{
			Machine: m.Machine, Sources: sources.Sources{Ports: portsOf(1, 2)}, Group: group,
			Settings: &settings.Settings{List: list(t, "1\n2\n"), StateDirectory: "/state", Interval: 2 * time.Second, Hook: nft.HookHost, Own: nft.OwnNo},
		},
		table: kernel, agent: agentState{Holder: holder("run")},
	}, kernel
}

func holder(command string) *store.LockedError { return &store.LockedError{PID: 42, Holder: command} }

// wantProblems compares the findings that are not ok.
func wantProblems(t *testing.T, c *checker, want ...string) {
	t.Helper()
	var got []finding.Finding
	c.found = nil // of an earlier call
	for _, f := range c.findings() {
		if f.Level != finding.OK {
			got = append(got, f)
		}
	}
	wantFindings(t, got, want...)
}

func TestFindings(t *testing.T) {
	c, _ := newCheck(t)
	wantFindings(t, c.findings(), "ok kernel-nf-tables", "ok kernel-counter-maps", "ok kernel-owned-tables has owned tables",
		"ok port-list", "ok agent process 42 holds /state", "ok ledger usage", "ok counter-table counts 2 ports at hook host")
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
			c.ledgerErr, c.ledgerProblems = test.err, test.problems
			wantProblems(t, c, test.want...)
		})
	}
}

func TestKernelFindings(t *testing.T) {
	const noList = "wrong port-list"
	refused := fmt.Errorf("%w: %w", nft.ErrPermission, syscall.EPERM)
	for _, test := range []struct {
		name    string
		prepare func(*checker, *answers)
		want    []string
	}{
		{"no privilege", func(c *checker, _ *answers) { c.Machine.UID, c.table, c.tableErr = 1000, nil, refused }, []string{"unknown privilege run it as root"}},
		{"no nf_tables", func(c *checker, _ *answers) { c.table, c.tableErr = nil, nft.ErrNoNFTables }, []string{"wrong kernel-nf-tables modprobe nf_tables"}},
		{"no netlink", func(c *checker, _ *answers) { c.table, c.tableErr = nil, errors.New("EIO") }, []string{"wrong kernel-nf-tables dmesg"}},
		{"no counter maps", func(_ *checker, k *answers) { k.support = nft.Support{} }, []string{"wrong kernel-counter-maps modprobe nft_objref"}},
		{"support not known", func(_ *checker, k *answers) { k.supportErr = errors.New("EIO") }, []string{"wrong kernel-counter-maps EIO"}},
		{"owned tables not needed", func(_ *checker, k *answers) { k.support.OwnedTables = false }, nil},
		{"owned tables needed", func(c *checker, k *answers) { k.support.OwnedTables, c.Settings.Own = false, nft.OwnYes },
			[]string{"wrong kernel-owned-tables auto or no"}},
		{"table differs, agent running", func(_ *checker, k *answers) { k.differences = []string{"this", "that"} },
			[]string{"wrong counter-table this; that"}},
		{"table differs, no agent", func(c *checker, k *answers) { c.agent, k.differences = agentState{}, []string{"this"} },
			[]string{"wrong agent", "wrong counter-table install it: ssmonitor setup"}},
		{"foreign table", func(_ *checker, k *answers) { k.verifyErr = nft.ErrForeignTable }, []string{"wrong counter-table nft list table inet ssmonitor"}},
		{"table not readable", func(_ *checker, k *answers) { k.verifyErr = errors.New("EIO") }, []string{"wrong counter-table EIO"}},
		{"rules not readable", func(_ *checker, k *answers) { k.rulesErr = errors.New("EIO") }, []string{"wrong ruleset EIO"}},
		{"a rule not readable", func(_ *checker, k *answers) { k.scene.Rules.Unread = []error{errors.New("chain ip x y: EIO")} },
			[]string{"unknown ruleset chain ip x y"}},
		{"no ports", func(c *checker, k *answers) {
			c.Settings.List, c.Sources.Ports, k.differences = "/nosuch", nil, []string{"the table is gone"}
		}, []string{noList}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, kernel := newCheck(t)
			test.prepare(c, kernel)
			wantProblems(t, c, test.want...)
		})
	}
}

func TestRulesetFindings(t *testing.T) {
	place := func(chain string) survey.Place { return survey.Place{Family: "ip", Table: "other", Chain: chain} }
	toContainer := func(port uint16) []survey.Translation {
		address := netip.AddrPortFrom(netip.MustParseAddr("172.17.0.2"), port)
		return []survey.Translation{{Place: place("nat"), Protocol: accounting.TCP, Ports: survey.PortRange{First: 1, Last: 1}, Target: address}}
	}
	const published = "wrong port-dnat port 1: published by chain ip other nat to 172.17.0.2:"
	for _, test := range []struct {
		name  string
		rules survey.Survey
		want  []string
	}{
		{"published", survey.Survey{Translations: toContainer(8388)}, []string{published}},
		{"mirrors", survey.Survey{Mirrors: []survey.Mirror{{Place: place("c"), Sent: true}}}, []string{"wrong mirrored-packets chain ip other c"}},
		{"mirrors of what is forwarded", survey.Survey{Mirrors: []survey.Mirror{{Place: place("c"), Forwarded: true}}}, nil},
		{"mirrors of a container with another port", survey.Survey{Mirrors: []survey.Mirror{{Place: place("c"), Forwarded: true}}, Translations: toContainer(8388)}, []string{published}},
		{"mirrors of a container with the port", survey.Survey{Mirrors: []survey.Mirror{{Place: place("c"), Forwarded: true}}, Translations: toContainer(1)},
			[]string{published, "wrong mirrored-packets chain ip other c"}},
		{"later drop chain", survey.Survey{LaterDropChains: []survey.Place{place("c")}}, []string{"note later-drop-chain chain ip other c"}},
		{"counting rules", survey.Survey{CountingRules: []survey.Place{place("INPUT"), place("FORWARD"), place("INPUT")}},
			[]string{"note counting-rules chain ip other INPUT has 2 rules", "note counting-rules chain ip other FORWARD has 1 rule that"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, kernel := newCheck(t)
			kernel.scene.Rules = &test.rules
			wantProblems(t, c, test.want...)
		})
	}
}

// TestTableIsExpectedToForward has a target that rules show, and one that is installed
// still: the table has to have both.
func TestTableIsExpectedToForward(t *testing.T) {
	c, kernel := newCheck(t)
	target := func(address string) accounting.Target {
		return accounting.Target{Protocol: accounting.TCP, Address: netip.MustParseAddrPort(address), Port: 1}
	}
	decided, lingers := target("172.17.0.2:8388"), target("172.17.0.3:8388")
	kernel.installed = []accounting.Target{lingers, decided}
	kernel.scene.Rules.Translations = []survey.Translation{{Protocol: accounting.TCP, Ports: survey.PortRange{First: 1, Last: 1}, Target: decided.Address}}
	c.findings()
	if want := []accounting.Target{decided, lingers}; !slices.Equal(kernel.forwarding.Targets, want) {
		t.Errorf("got %v, want %v", kernel.forwarding.Targets, want)
	}
}

func TestAgentFindings(t *testing.T) {
	report := &accounting.Report{Time: time.Now(), Ports: []accounting.PortReport{{Port: portsOf(1)[0]}, {Port: portsOf(2)[0]}}}
	away := api.ErrAgentNotRunning
	for _, test := range []struct {
		name   string
		socket string
		agent  agentState
		want   string
	}{
		{"answers", socket, agentState{Report: report, Holder: holder("run")}, "ok agent 2 ports, last read"},
		{"may not connect", socket, agentState{ReportErr: fs.ErrPermission, Holder: holder("run")}, "unknown agent usermod"},
		{"does not answer", socket, agentState{ReportErr: away, Holder: holder("run")}, "wrong agent does not answer on"},
		{"another command", socket, agentState{ReportErr: away, Holder: holder("teardown")}, "note agent ssmonitor teardown"},
		{"malformed answer", socket, agentState{ReportErr: errors.New("malformed")}, "wrong agent malformed"},
		{"not running", socket, agentState{ReportErr: away}, "wrong agent start the agent: ssmonitor run"},
		{"not running, state closed", socket, agentState{ReportErr: away, HolderErr: fs.ErrPermission}, "wrong agent no agent is running"},
		{"state closed, no socket", "", agentState{HolderErr: fs.ErrPermission}, "unknown agent permission denied"},
		{"state unreadable", "", agentState{HolderErr: errors.New("EIO")}, "wrong agent --state names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newCheck(t)
			c.Settings.Socket, c.agent = test.socket, test.agent
			for _, f := range c.findings() {
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
	c.Settings.CSV = csv
	c.agent.Report = &accounting.Report{Time: m.Now, Interval: 30 * time.Second, Ports: []accounting.PortReport{{Port: portsOf(1)[0]}, {Port: portsOf(2)[0]}}}
	wantProblems(t, c)
	c.agent.Report.Interval = time.Second
	wantProblems(t, c, "wrong csv-file 1m0s old")
}

// TestChangesSettle has changes that the agent applies within an interval, and later: then
// it should have.
func TestChangesSettle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, path, "interval: 1s\nwarn: 100GB\n")
	report := func(interval time.Duration) *accounting.Report {
		return &accounting.Report{Interval: interval, Ports: []accounting.PortReport{{Port: portsOf(1)[0]}}}
	}
	for _, test := range []struct {
		name         string
		prepare      func(*checker, *answers)
		early, later []string
	}{
		{"a setting that is applied, and one that is not", func(c *checker, _ *answers) {
			c.agent.Settings = &api.Settings{File: path, Keys: map[string]api.Setting{"interval": {Values: []string{"2s"}}, "warn": {Values: []string{"1GB"}}}}
		}, []string{"wrong settings-in-force in force: interval", "note settings-in-force within an interval: warn"}, []string{"wrong settings-in-force in force: interval, warn"}},
		{"the list", func(c *checker, k *answers) {
			c.agent.Report, k.differences = report(2*time.Second), []string{"port 2 is missing"}
		}, []string{"note port-list-not-served within an interval: port 2", "note counter-table port 2 is missing: the ports changed just now"},
			[]string{"wrong port-list-not-served reload", "wrong counter-table port 2"}},
		{"the file of clients", func(c *checker, _ *answers) {
			c.Settings.Clients = list(t, "bob: {ports: 2}\n")
			c.Settings.List, c.agent.Report = "/nosuch", report(2*time.Second)
			c.Sources = sources.Sources{Clients: c.Settings.Clients}
		}, []string{"note port-list clients", "note port-list-not-served port 2"}, nil},
		{"the agent's start", func(c *checker, _ *answers) {
			c.Settings.CSV, c.agent.Holder.Since = csv, time.Now()
		}, []string{"note csv-file after its first interval, 2s"}, []string{"wrong csv-file writes no CSV file"}},
		{"the start of an agent whose predecessor was killed", func(c *checker, _ *answers) {
			machine{c.Machine, t}.write(csv, "", 0o644, 10*time.Minute)
			c.Settings.CSV, c.agent.Holder.Since = csv, time.Now()
		}, []string{"note csv-file after its first interval, 2s"}, []string{"wrong csv-file old"}},
		{"the agent's start, by another user", func(c *checker, _ *answers) {
			c.Settings.CSV, c.agent = csv, agentState{Report: &accounting.Report{Ports: []accounting.PortReport{{Port: portsOf(1)[0]}, {Port: portsOf(2)[0]}}}}
		}, []string{"note csv-file"}, []string{"note csv-file"}}, // as long as it knows no rates
	} {
		t.Run(test.name, func(t *testing.T) {
			c, kernel := newCheck(t)
			test.prepare(c, kernel)
			c.Machine.Now = time.Now()
			wantProblems(t, c, test.early...)
			if test.later != nil {
				c.Machine.Now = time.Now().Add(5 * time.Second)
				wantProblems(t, c, test.later...)
			}
		})
	}
}

func TestLocalPortsAreChecked(t *testing.T) {
	c, _ := newCheck(t)
	m := machine{c.Machine, t}
	m.write("/proc/sys/net/ipv4/ip_local_port_range", "1\t9\n", 0o444, 0)
	m.write("/proc/sys/net/ipv4/ip_local_reserved_ports", "\n", 0o444, 0)
	wantProblems(t, c, "note local-port-range ports 1-2")
	if Result(c.findings()) != finding.OK {
		t.Error("a note is a problem")
	}
}
