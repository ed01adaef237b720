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
)

// tableName is the name of ssmonitor's own table, as nft writes it.
const tableName = "inet ssmonitor"

// ErrForeignTable reports that a table of ssmonitor's name was made by somebody
// else.
var ErrForeignTable = errors.New("table " + tableName + " was made by somebody else")

// Kernel answers for the kernel's packet filter.
type Kernel interface {
	// Support returns what the kernel supports.
	Support() (Support, error)
	// Verify returns how the installed table differs from one that counts the
	// ports. It returns ErrForeignTable if the table is not ssmonitor's.
	Verify(ports accounting.Ports) (differences []string, err error)
	// Rules returns what the rules of others do to the packets of the ports. Some
	// targets were named.
	Rules(ports accounting.Ports, named []accounting.Target) (Rules, error)
}

// Support is what not every kernel with nf_tables can do.
type Support struct {
	CounterMaps bool // maps from ports to named counters: required
	OwnedTables bool // needed by --own=yes
}

// Rules is what the rules of others do to packets. Chains are named as nft
// writes them, such as ip nat DOCKER.
type Rules struct {
	Published       []finding.Finding // about the ports that are translated before they are counted
	Mirrors         []string          // chains that send copies of what is counted
	LaterDropChains []string          // chains that may drop packets after they were counted
	CountingRules   []string          // the chain of each rule that only counts a port
	Unread          []error           // one per chain or rule that could not be read
	// HandedOn are the ports for which a program may listen elsewhere, as in a container.
	HandedOn map[uint16]bool
	// Doubtful says that there may be more of them.
	Doubtful bool
}

// kernel checks what the kernel supports.
func (c *Check) kernel() []finding.Finding {
	switch {
	case errors.Is(c.KernelErr, fs.ErrPermission):
		return []finding.Finding{{ID: finding.Privilege, Level: finding.Unknown, Message: "the kernel, its counters and the firewall can't be checked: " + terminal.Line(c.KernelErr), Remedy: cmp.Or(c.KernelRemedy, asRoot)}}
	case c.KernelErr != nil:
		return []finding.Finding{{ID: finding.KernelNFTables, Level: finding.Wrong, Message: terminal.Line(c.KernelErr), Remedy: cmp.Or(c.KernelRemedy, "see what the kernel logged: dmesg")}}
	}
	findings := []finding.Finding{{ID: finding.KernelNFTables, Level: finding.OK, Message: "the kernel has nf_tables, and CAP_NET_ADMIN is granted"}}
	support, err := c.Kernel.Support()
	if err != nil {
		return append(findings, failure(finding.KernelCounterMaps, "", err, "see what the kernel logged: dmesg"))
	}
	if !support.CounterMaps {
		return append(findings, finding.Finding{ID: finding.KernelCounterMaps, Level: finding.Wrong, Message: "the kernel has no maps from ports to named counters: nothing can be counted",
			Remedy: "load the module (modprobe nft_objref), or boot a kernel with CONFIG_NFT_OBJREF"})
	}
	findings = append(findings, finding.Finding{ID: finding.KernelCounterMaps, Level: finding.OK, Message: "the kernel has maps from ports to named counters"})
	owned := finding.Finding{ID: finding.KernelOwnedTables, Level: finding.OK, Message: "the kernel has owned tables"}
	switch {
	case !support.OwnedTables && c.Own == "yes":
		owned = finding.Finding{ID: finding.KernelOwnedTables, Level: finding.Wrong, Message: "the kernel has no owned tables, which --own=yes needs: the agent can't start",
			Remedy: "set --own to auto or no, or boot Linux 6.9 or later"}
	case !support.OwnedTables:
		owned.Message = "the kernel has no owned tables; only --own=yes needs them"
	}
	return append(findings, owned)
}

// table checks whether ssmonitor's own table counts the ports.
func (c *Check) table(ports accounting.Ports) []finding.Finding {
	if len(ports) == 0 {
		return nil
	}
	f := finding.Finding{ID: finding.CounterTable, Level: finding.Wrong, Subject: tableName}
	differences, err := c.Kernel.Verify(ports)
	switch {
	case errors.Is(err, ErrForeignTable):
		f.Message = ErrForeignTable.Error() + ": ssmonitor leaves it alone and can't count"
		f.Remedy = "look at it: nft list table " + tableName + "\nthen rename or delete it"
	case err != nil:
		return []finding.Finding{failure(finding.CounterTable, tableName, err, "try again")}
	case len(differences) == 0:
		f.Level = finding.OK
		f.Message = fmt.Sprintf("table %s counts %s at hook %s", tableName, terminal.Count(len(ports), "port"), c.Hook)
	default:
		f.Message = fmt.Sprintf("table %s: %s", tableName, strings.Join(differences, "; "))
		f.Remedy = "install it: ssmonitor setup"
		if c.Agent.running() {
			f.Remedy = "the agent repairs it at its next reading; if this stays, " + seeLog
		}
	}
	return []finding.Finding{f}
}
