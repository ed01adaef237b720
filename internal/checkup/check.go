// Package checkup decides what is right and wrong around the agent, and what to
// do about it: the settings, the kernel, Shadowsocks' configurations and the list
// of ports, the rest of the firewall, the agent's outputs, Netdata, and what is
// left of the setup that ssmonitor replaces. It changes nothing.
//
// What the kernel and the agent say reaches it as plain data: see [Kernel] and
// [AgentState].
package checkup

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
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
	Hook        string        // host or container
	Own         string        // no, auto or yes

	Kernel       Kernel // nil if KernelErr is not
	KernelErr    error  // why the kernel can't be asked; fs.ErrPermission without CAP_NET_ADMIN
	KernelRemedy string // what to do about that; empty: to be root, or not known
	// Listeners returns the ports at which programs receive by a protocol; nil: not checked.
	Listeners func(accounting.Protocol) ([]Listener, error)
	Agent     AgentState

	LedgerProblems []string // how usage and totals differ
	LedgerErr      error    // why the ledger can't be checked; fs.ErrNotExist before the first save
}

// Findings checks one thing after another, in the order in which one would fix
// them.
func (c *Check) Findings() []finding.Finding {
	var findings []finding.Finding
	add := func(more []finding.Finding) { findings = append(findings, more...) }
	if c.SettingsErr != nil {
		add([]finding.Finding{failure(finding.Settings, "", c.SettingsErr, "correct the settings: until then the agent does not start, and this check uses defaults")})
	}
	add(c.kernel())
	add(c.agent())
	add(c.ledger())
	portFindings, ports, named, entries := c.ports()
	add(portFindings)
	add(AlikeNames(ports))
	add(c.Machine.LocalPorts(ports, c.Hook))
	rules := Rules{Doubtful: true}
	if c.Kernel != nil {
		var err error
		rules, err = c.Kernel.Rules(ports, named) // first: they show what the table has to count
		rules.Doubtful = rules.Doubtful || err != nil
		add(c.table(ports))
		add(c.ruleset(rules, err))
	}
	add(c.listening(ports, entries, rules))
	if c.Socket != "" {
		add(c.Machine.Socket(c.Socket, c.Group))
	}
	if c.CSV != "" {
		add(c.Machine.CSV(c.CSV, c.interval(), c.Agent.running()))
	}
	if c.Socket != "" {
		add(c.Machine.Netdata(c.Socket, c.Group))
	}
	add(c.Machine.Leftovers(c.CSV))
	for i := range findings {
		if findings[i].Remedy == asRoot && c.Machine.UID == 0 {
			findings[i].Remedy = finding.OfRoot
		}
	}
	return findings
}

// ledger reports whether the recorded usage is what the totals gained.
func (c *Check) ledger() []finding.Finding {
	switch {
	case errors.Is(c.LedgerErr, fs.ErrNotExist):
		return nil
	case errors.Is(c.LedgerErr, fs.ErrPermission):
		return []finding.Finding{{ID: finding.Ledger, Level: finding.Unknown, Subject: c.State, Message: "the totals and the usage can't be checked: this user may not read " + c.State,
			Remedy: asRoot + "\nor add the user to the group: usermod --append --groups " + c.Group + " USER"}}
	case c.LedgerErr != nil:
		return []finding.Finding{failure(finding.Ledger, c.State, c.LedgerErr, "restart the agent: it continues from its backup")}
	case len(c.LedgerProblems) > 0:
		return []finding.Finding{{ID: finding.Ledger, Level: finding.Wrong, Subject: c.State, Message: "usage and totals differ: " + strings.Join(c.LedgerProblems, "; "),
			Remedy: "report this as an error of ssmonitor, with a copy of " + c.State}}
	}
	return []finding.Finding{{ID: finding.Ledger, Level: finding.OK, Subject: c.State, Message: "usage by hour, day and month agrees with the totals"}}
}

// interval returns the agent's, as far as it is known.
func (c *Check) interval() time.Duration {
	if report := c.Agent.Report; report != nil && report.Interval > 0 {
		return report.Interval
	}
	return c.Interval
}

// ports checks the sources of ports. It returns those that should be counted, the
// targets that were named, and the ports with their sources.
func (c *Check) ports() ([]finding.Finding, accounting.Ports, []accounting.Target, []portlist.Entry) {
	var findings []finding.Finding
	if c.Sources.SearchRoot != "" && c.Machine.UID != 0 {
		findings = append(findings, finding.Finding{ID: finding.ConfigurationSearch, Level: finding.Unknown, Message: "configurations in directories that only root can read can't be found", Remedy: asRoot})
	}
	from := c.Sources
	entries, err := portlist.ReadEntries(c.List)
	if err == nil { // else List reports it
		from.Earlier = c.List // setup keeps the ports of a file that can't be read
	}
	found, err := sources.Follow(from).Load()
	findings = append(findings, Configurations(found, err)...)
	listFindings, ports := List(c.List, found.Ports, c.Agent.ports())
	named, err := ports.Targets(found.Targets, portlist.Targets(entries))
	if err != nil {
		listFindings = append(listFindings, failure(finding.SharedTarget, c.List, err, "or publish each to a port of its own"))
	}
	return slices.Concat(findings, listFindings, ListTargets(c.List, found.Targets)), ports, named, slices.Concat(entries, found.Entries)
}
