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
	"ssmonitor/internal/portadvice"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
)

// Check is what to c.
type Check struct {
	Machine     *Machine
	Settings    *settings.Settings
	SettingsErr error // why the settings file was not applied, or nil
	Sources     sources.Sources
	Group       string // whose members may connect to the socket
}

// checker collects what a check learns: first by asking others, then its findings, and
// what the later parts have to know.
type checker struct {
	Check

	table    counterTable // nil if tableErr is not
	tableErr error        // why the kernel can't be asked
	agent    agentState

	// nil: unknown, or not installed
	agentService, setupService, metricsSocket, metricsService *unit.Service

	ledgerProblems []string // how usage and totals differ
	ledgerErr      error    // why the ledger can't be checked; fs.ErrNotExist before the first save

	found   []finding.Finding
	ports   accounting.Ports    // that should be counted
	named   []accounting.Target // of the ports, as the settings and the list name them
	entries []portlist.Entry    // the ports with their sources; one may have several
	rules   rules               // of others
}

func (c *checker) add(findings ...finding.Finding) { c.found = append(c.found, findings...) }

// Run asks the kernel, the agent and the ledger, and returns what was found.
func (c Check) Run(ctx context.Context) []finding.Finding {
	asked := &checker{Check: c}
	// Without an owner, so that Open does not probe for owned tables.
	table, err := nft.Open(nft.Options{Hook: c.Settings.Hook})
	if err == nil {
		defer func() { _ = table.Close() }()
		asked.table = table
	}
	asked.tableErr = err
	asked.agent = askAgent(ctx, c.Settings.StateDirectory, c.Settings.Socket)
	asked.agentService = c.Machine.readService(ctx, agentService)
	asked.setupService = c.Machine.readService(ctx, setupService)
	asked.metricsSocket = c.Machine.readService(ctx, metricsSocket)
	asked.metricsService = c.Machine.readService(ctx, metricsService)
	asked.ledgerProblems, asked.ledgerErr = store.Check(c.Settings.StateDirectory)
	return asked.findings()
}

// findings checks one thing after another, in the order in which one would fix
// them.
func (c *checker) findings() []finding.Finding {
	c.rules.doubtful = true // until they are read
	c.checkSettings()
	c.checkKernel()
	c.checkPorts()
	c.checkSettingsClients()
	c.checkAgent() // after all that can keep it from starting
	c.checkInForce()
	c.checkProblems()
	c.checkSetupService()
	c.checkMetricsService()
	c.checkLedger()
	c.add(portadvice.Findings(c.Machine.Root, c.ports, c.Settings.Hook)...)
	if c.table != nil {
		rulesErr := c.readRules() // first: they show what the table has to count
		c.checkTable()
		c.checkRules(rulesErr)
	}
	c.checkListeners()
	if c.Settings.Socket != "" {
		c.add(c.Machine.checkSocket(c.Settings.Socket, c.Group)...)
	}
	if c.Settings.CSV != "" {
		c.add(c.Machine.checkCSV(c.Settings.CSV, c.interval(), c.agent.running(), c.agentIsNew())...)
	}
	if c.Settings.Socket != "" {
		c.add(c.Machine.checkNetdata(c.Settings.Socket, c.Group)...)
	}
	c.add(c.Machine.findLeftovers(c.Settings.CSV)...)
	return c.found
}

// checkLedger reports whether the recorded usage is what the totals gained.
func (c *checker) checkLedger() {
	f := finding.Finding{ID: finding.Ledger, Level: finding.OK, Subject: c.Settings.StateDirectory, Message: "usage by hour, day and month agrees with the totals"}
	switch {
	case errors.Is(c.ledgerErr, fs.ErrNotExist):
		return
	case errors.Is(c.ledgerErr, fs.ErrPermission):
		f.Level, f.Message = finding.Unknown, "the totals and the usage can't be checked: this user may not read "+c.Settings.StateDirectory
		f.Remedy = asRoot + "\nor add the user to the group: usermod --append --groups " + c.Group + " USER"
	case c.ledgerErr != nil:
		f = c.Machine.failure(finding.Ledger, c.Settings.StateDirectory, c.ledgerErr, "restart the agent: it continues from its backup")
	case len(c.ledgerProblems) > 0:
		f.Level, f.Message = finding.Wrong, "usage and totals differ: "+strings.Join(c.ledgerProblems, "; ")
		f.Remedy = "report this as an error of ssmonitor, with a copy of " + c.Settings.StateDirectory
	}
	c.add(f)
}

// interval returns the agent's: its own report is right whatever the settings say by now.
func (c *checker) interval() time.Duration {
	if report := c.agent.Report; report != nil && report.Interval > 0 {
		return report.Interval
	}
	return c.Settings.Interval
}
