package checkup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ssmonitor/accounting"
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
	Published       []Finding // about the ports that are translated before they are counted
	Mirrors         []string  // chains that send copies of what is counted
	LaterDropChains []string  // chains that may drop packets after they were counted
	CountingRules   []string  // the chain of each rule that only counts a port
	Unread          []error   // one per chain or rule that could not be read
	// HandedOn are the ports for which a program may listen elsewhere, as in a container.
	HandedOn map[uint16]bool
	// Doubtful says that there may be more of them.
	Doubtful bool
}

// kernel checks what the kernel supports.
func (c *Check) kernel() []Finding {
	switch {
	case errors.Is(c.KernelErr, fs.ErrPermission):
		return []Finding{{Privilege, Unknown, "", "the kernel, its counters and the firewall can't be checked: " + terminal.Line(c.KernelErr), cmp.Or(c.KernelRemedy, asRoot)}}
	case c.KernelErr != nil:
		return []Finding{{KernelNFTables, Wrong, "", terminal.Line(c.KernelErr), cmp.Or(c.KernelRemedy, "see what the kernel logged: dmesg")}}
	}
	findings := []Finding{{KernelNFTables, OK, "", "the kernel has nf_tables, and CAP_NET_ADMIN is granted", ""}}
	support, err := c.Kernel.Support()
	if err != nil {
		return append(findings, failure(KernelCounterMaps, "", err, "see what the kernel logged: dmesg"))
	}
	if !support.CounterMaps {
		return append(findings, Finding{KernelCounterMaps, Wrong, "", "the kernel has no maps from ports to named counters: nothing can be counted",
			"load the module (modprobe nft_objref), or boot a kernel with CONFIG_NFT_OBJREF"})
	}
	findings = append(findings, Finding{KernelCounterMaps, OK, "", "the kernel has maps from ports to named counters", ""})
	owned := Finding{KernelOwnedTables, OK, "", "the kernel has owned tables", ""}
	switch {
	case !support.OwnedTables && c.Own == "yes":
		owned = Finding{KernelOwnedTables, Wrong, "", "the kernel has no owned tables, which --own=yes needs: the agent can't start",
			"set --own to auto or no, or boot Linux 6.9 or later"}
	case !support.OwnedTables:
		owned.Message = "the kernel has no owned tables; only --own=yes needs them"
	}
	return append(findings, owned)
}

// table checks whether ssmonitor's own table counts the ports.
func (c *Check) table(ports accounting.Ports) []Finding {
	if len(ports) == 0 {
		return nil
	}
	finding := Finding{ID: CounterTable, Level: Wrong, Subject: tableName}
	differences, err := c.Kernel.Verify(ports)
	switch {
	case errors.Is(err, ErrForeignTable):
		finding.Message = ErrForeignTable.Error() + ": ssmonitor leaves it alone and can't count"
		finding.Remedy = "look at it: nft list table " + tableName + "\nthen rename or delete it"
	case err != nil:
		return []Finding{failure(CounterTable, tableName, err, "try again")}
	case len(differences) == 0:
		finding.Level = OK
		finding.Message = fmt.Sprintf("table %s counts %s at hook %s", tableName, terminal.Count(len(ports), "port"), c.Hook)
	default:
		finding.Message = fmt.Sprintf("table %s: %s", tableName, strings.Join(differences, "; "))
		finding.Remedy = "install it: ssmonitor setup"
		if c.Agent.running() {
			finding.Remedy = "the agent repairs it at its next reading; if this stays, " + seeLog
		}
	}
	return []Finding{finding}
}
