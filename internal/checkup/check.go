// Package checkup decides what is right and wrong around the agent, and what to
// do about it: the settings, the kernel, Shadowsocks' configurations and the list
// of ports, the rest of the firewall, the agent's outputs, Netdata, and what is
// left of the setup that ssmonitor replaces. It changes nothing.
package checkup

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
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

	// What Run learns.

	table    counterTable // nil if tableErr is not
	tableErr error        // why the kernel can't be asked
	agent    agentState

	ledgerProblems []string // how usage and totals differ
	ledgerErr      error    // why the ledger can't be checked; fs.ErrNotExist before the first save
}

// checker collects the findings of a check, and what its later parts have to know.
type checker struct {
	*Check
	found   []finding.Finding
	ports   accounting.Ports    // that should be counted
	named   []accounting.Target // of the ports, as the settings and the list name them
	entries []portlist.Entry    // the ports with their sources; one may have several
	rules   rules               // of others
}

func (c *checker) add(findings ...finding.Finding) { c.found = append(c.found, findings...) }

// Run asks the kernel, the agent and the ledger, and returns what was found.
func (c *Check) Run(ctx context.Context) []finding.Finding {
	// Without an owner, so that Open does not probe for owned tables.
	table, err := nft.Open(nft.Options{Hook: c.Hook})
	if err == nil {
		defer func() { _ = table.Close() }()
		c.table = table
	}
	c.tableErr = err
	c.agent = askAgent(ctx, c.State, c.Socket)
	c.ledgerProblems, c.ledgerErr = store.Check(c.State)
	return c.findings()
}

// findings checks one thing after another, in the order in which one would fix
// them.
func (c *Check) findings() []finding.Finding {
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
	if c.table != nil {
		rulesErr := check.readRules() // first: they show what the table has to count
		check.checkTable()
		check.checkRules(rulesErr)
	}
	check.checkListeners()
	if c.Socket != "" {
		check.add(c.Machine.checkSocket(c.Socket, c.Group)...)
	}
	if c.CSV != "" {
		check.add(c.Machine.checkCSV(c.CSV, c.interval(), c.agent.running())...)
	}
	if c.Socket != "" {
		check.add(c.Machine.checkNetdata(c.Socket, c.Group)...)
	}
	check.add(c.Machine.findLeftovers(c.CSV)...)
	return check.found
}

// checkLedger reports whether the recorded usage is what the totals gained.
func (c *checker) checkLedger() {
	f := finding.Finding{ID: finding.Ledger, Level: finding.OK, Subject: c.State, Message: "usage by hour, day and month agrees with the totals"}
	switch {
	case errors.Is(c.ledgerErr, fs.ErrNotExist):
		return
	case errors.Is(c.ledgerErr, fs.ErrPermission):
		f.Level, f.Message = finding.Unknown, "the totals and the usage can't be checked: this user may not read "+c.State
		f.Remedy = asRoot + "\nor add the user to the group: usermod --append --groups " + c.Group + " USER"
	case c.ledgerErr != nil:
		f = c.Machine.failure(finding.Ledger, c.State, c.ledgerErr, "restart the agent: it continues from its backup")
	case len(c.ledgerProblems) > 0:
		f.Level, f.Message = finding.Wrong, "usage and totals differ: "+strings.Join(c.ledgerProblems, "; ")
		f.Remedy = "report this as an error of ssmonitor, with a copy of " + c.State
	}
	c.add(f)
}

// interval returns the agent's, as far as it is known.
func (c *Check) interval() time.Duration {
	if report := c.agent.Report; report != nil && report.Interval > 0 {
		return report.Interval
	}
	return c.Interval
}
