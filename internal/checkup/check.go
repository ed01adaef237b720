// Package checkup decides what is right and wrong around the agent, and what to
// do about it: the settings, the kernel, Shadowsocks' configurations and the list
// of ports, the rest of the firewall, the agent's outputs, Netdata, and what is
// left of the setup that ssmonitor replaces. It changes nothing.
package checkup

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/nft"
)

// Check is what to check.
type Check struct {
	Machine     *Machine
	SettingsErr error // why the settings file was not applied, or nil
	Sources     sources.Sources
	List        string        // path of the list of ports
	State       string        // directory of the totals
	Socket      string        // path of the agent's socket; empty: it has none
	CSV         string        // path of the CSV file; empty: there is none
	Group       string        // whose members may connect to the socket
	Interval    time.Duration // of an agent that does not report its own
	Hook        nft.Hook
	Own         nft.Own

	Kernel    Kernel // nil if KernelErr is not
	KernelErr error  // why the kernel can't be asked
	Agent     AgentState

	LedgerProblems []string // how usage and totals differ
	LedgerErr      error    // why the ledger can't be checked; fs.ErrNotExist before the first save
}

// checker collects the findings of a check, and what its later parts have to know.
type checker struct {
	*Check
	findings []finding.Finding
	ports    accounting.Ports    // that should be counted
	named    []accounting.Target // of the ports, as the settings and the list name them
	entries  []portlist.Entry    // the ports with their sources; one may have several
	rules    rules               // of others
}

func (c *checker) add(findings ...finding.Finding) { c.findings = append(c.findings, findings...) }

// Findings checks one thing after another, in the order in which one would fix
// them.
func (c *Check) Findings() []finding.Finding {
	check := &checker{Check: c, rules: rules{doubtful: true}}
	if c.SettingsErr != nil {
		check.add(c.Machine.failure(finding.Settings, "", c.SettingsErr, "correct the settings: until then the agent does not start, and this check uses defaults"))
	}
	check.checkKernel()
	check.checkAgent()
	check.checkLedger()
	check.checkPorts()
	check.add(AlikeNames(check.ports)...)
	check.add(c.Machine.LocalPorts(check.ports, c.Hook)...)
	if c.Kernel != nil {
		rulesErr := check.readRules() // first: they show what the table has to count
		check.checkTable()
		check.checkRules(rulesErr)
	}
	check.checkListeners()
	if c.Socket != "" {
		check.add(c.Machine.checkSocket(c.Socket, c.Group)...)
	}
	if c.CSV != "" {
		check.add(c.Machine.checkCSV(c.CSV, c.interval(), c.Agent.running())...)
	}
	if c.Socket != "" {
		check.add(c.Machine.checkNetdata(c.Socket, c.Group)...)
	}
	check.add(c.Machine.findLeftovers(c.CSV)...)
	return check.findings
}

// checkLedger reports whether the recorded usage is what the totals gained.
func (c *checker) checkLedger() {
	f := finding.Finding{ID: finding.Ledger, Level: finding.OK, Subject: c.State, Message: "usage by hour, day and month agrees with the totals"}
	switch {
	case errors.Is(c.LedgerErr, fs.ErrNotExist):
		return
	case errors.Is(c.LedgerErr, fs.ErrPermission):
		f.Level, f.Message = finding.Unknown, "the totals and the usage can't be checked: this user may not read "+c.State
		f.Remedy = asRoot + "\nor add the user to the group: usermod --append --groups " + c.Group + " USER"
	case c.LedgerErr != nil:
		f = c.Machine.failure(finding.Ledger, c.State, c.LedgerErr, "restart the agent: it continues from its backup")
	case len(c.LedgerProblems) > 0:
		f.Level, f.Message = finding.Wrong, "usage and totals differ: "+strings.Join(c.LedgerProblems, "; ")
		f.Remedy = "report this as an error of ssmonitor, with a copy of " + c.State
	}
	c.add(f)
}

// interval returns the agent's, as far as it is known.
func (c *Check) interval() time.Duration {
	if report := c.Agent.Report; report != nil && report.Interval > 0 {
		return report.Interval
	}
	return c.Interval
}
