package checkup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
	"ssmonitor/nft"
)

// tableName is the name of ssmonitor's own table, as nft writes it.
const tableName = "inet " + nft.TableName

// counterTable is the table of counters in the kernel: *nft.Table, outside of tests.
type counterTable interface {
	Support() (nft.Support, error)
	Targets() ([]accounting.Target, error)
	SetForwarding(accounting.Forwarding)
	Verify(accounting.Ports) (differences []string, err error)
}

var _ counterTable = (*nft.Table)(nil)

// checkKernel checks what the kernel supports.
func (c *checker) checkKernel() {
	const dmesg = "see what the kernel logged: dmesg"
	remedy, cause := nft.Explain(c.tableErr)
	switch {
	case errors.Is(cause, fs.ErrPermission):
		c.add(finding.Finding{ID: finding.Privilege, Level: finding.Unknown,
			Message: "the kernel, its counters and the firewall can't be checked: " + terminal.Line(cause), Remedy: cmp.Or(remedy, c.Machine.needRoot())})
		return
	case cause != nil:
		c.add(finding.Finding{ID: finding.KernelNFTables, Level: finding.Wrong, Message: terminal.Line(cause), Remedy: cmp.Or(remedy, dmesg)})
		return
	}
	c.add(finding.Finding{ID: finding.KernelNFTables, Level: finding.OK, Message: "the kernel has nf_tables, and CAP_NET_ADMIN is granted"})
	support, err := c.table.Support()
	switch {
	case err != nil:
		c.add(c.Machine.failure(finding.KernelCounterMaps, "", err, dmesg))
		return
	case !support.ObjectMaps:
		c.add(finding.Finding{ID: finding.KernelCounterMaps, Level: finding.Wrong, Message: "the kernel has no maps from ports to named counters: nothing can be counted",
			Remedy: "load the module (modprobe nft_objref), or boot a kernel with CONFIG_NFT_OBJREF"})
		return
	}
	c.add(finding.Finding{ID: finding.KernelCounterMaps, Level: finding.OK, Message: "the kernel has maps from ports to named counters"})
	owned := finding.Finding{ID: finding.KernelOwnedTables, Level: finding.OK, Message: "the kernel has owned tables"}
	switch {
	case !support.OwnedTables && c.Settings.Own == nft.OwnYes:
		owned.Level, owned.Message = finding.Wrong, "the kernel has no owned tables, which --own=yes needs: the agent can't start"
		owned.Remedy = "set --own to auto or no, or boot Linux 6.9 or later"
	case !support.OwnedTables:
		owned.Message = "the kernel has no owned tables; only --own=yes needs them"
	}
	c.add(owned)
}

// checkTable checks whether ssmonitor's own table counts the ports.
func (c *checker) checkTable() {
	if len(c.ports) == 0 {
		return
	}
	f := finding.Finding{ID: finding.CounterTable, Level: finding.Wrong, Subject: tableName}
	differences, err := c.table.Verify(c.ports)
	switch {
	case errors.Is(err, nft.ErrForeignTable):
		f.Message = "table " + tableName + " was made by somebody else: ssmonitor leaves it alone and can't count"
		f.Remedy = "look at it: nft list table " + tableName + "\nthen rename or delete it"
	case err != nil:
		f = c.Machine.failure(finding.CounterTable, tableName, err, "try again")
	case len(differences) == 0:
		f.Level, f.Message = finding.OK, fmt.Sprintf("table %s counts %s at hook %s", tableName, terminal.Count(len(c.ports), "port"), c.Settings.Hook)
	default:
		f.Message = fmt.Sprintf("table %s: %s", tableName, strings.Join(differences, "; "))
		f.Remedy = "install it: ssmonitor setup"
		if c.agent.running() && c.portsAreSettling() {
			f.Level, f.Message, f.Remedy = finding.Note, f.Message+": the ports changed just now, and the agent applies that within an interval", ""
		} else if c.agent.running() {
			f.Remedy = "the agent repairs it at its next reading; if this stays, " + seeLog
		}
	}
	c.add(f)
}
