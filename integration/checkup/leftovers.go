package checkup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"ssmonitor/integration/configfile"
)

// The parts of the set-up with iptables and a script that ssmonitor replaces.
const (
	oldScript = "/usr/bin/ssmonitor.py"
	oldCSV    = "/tmp/ssmonitor.tmp"
)

// Migration is what to do about what is left of that set-up.
const Migration = "see the section on migration in the README"

var (
	oldUnits = [...]string{"/etc/systemd/system/ssmonitor.service", "/usr/lib/systemd/system/ssmonitor.service"}
	oldRules = [...]string{"/etc/iptables/iptables.rules", "/etc/iptables/ip6tables.rules", "/etc/iptables/rules.v4", "/etc/iptables/rules.v6"}
	// Netdata's python.d modules may be anywhere below these.
	oldModules = [...]string{
		"/usr/lib/netdata/python.d/*.chart.py", "/usr/libexec/netdata/python.d/*.chart.py", "/etc/netdata/*/python.d/*.chart.py",
	}
	// legacyTables list the tables of iptables-legacy, which nf_tables knows
	// nothing of; only root may read them. thread-self is the network namespace
	// that the kernel's answers come from.
	legacyTables = [...]string{"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"}
)

// countingRule is a saved rule that matches a port and does nothing.
var countingRule = regexp.MustCompile(`(?m)^-A (?:INPUT|OUTPUT) -p (?:tcp|udp)(?: -m (?:tcp|udp))? --[ds]port \d+[ \t]*$`)

const leftoverLimit = 4 << 20 // bytes

// Leftovers looks for the set-up that ssmonitor replaces. csv is the file that
// the agent writes: a module that reads it is none.
func (m *Machine) Leftovers(csv string) (findings []Finding) {
	if m.exists(oldScript) {
		findings = append(findings, Finding{Note, "the script that ssmonitor replaces is still there: " + oldScript, Migration})
	}
	for _, unit := range oldUnits {
		if bytes.Contains(m.read(unit), []byte("ssmonitor.py")) {
			findings = append(findings, Finding{Wrong,
				fmt.Sprintf("the unit %s starts the old script and takes the name of the agent's unit", unit),
				"systemctl disable --now ssmonitor; rm " + unit + "; systemctl daemon-reload\n" + Migration})
		}
	}
	for _, file := range oldRules {
		if rules := len(countingRule.FindAll(m.read(file), -1)); rules > 0 {
			findings = append(findings, Finding{Note,
				fmt.Sprintf("%s still has rules that only count, %d of them: they cost time for each packet", file, rules), Migration})
		}
	}
	findings = append(findings, m.oldModuleFindings(csv)...)
	return append(findings, m.legacyFindings()...)
}

// oldModuleFindings looks at who reads the old script's file, and whether that
// is still written.
func (m *Machine) oldModuleFindings(csv string) (findings []Finding) {
	if csv == oldCSV {
		return nil
	}
	if info, err := os.Stat(m.path(oldCSV)); err == nil {
		what := "the old script's file is still there: " + oldCSV
		if m.Now.Sub(info.ModTime()) < 10*time.Second {
			what = "something still writes the old script's file: " + oldCSV
		}
		findings = append(findings, Finding{Note, what, Migration})
	}
	for _, pattern := range oldModules {
		for _, module := range m.glob(pattern) {
			if bytes.Contains(m.read(module), []byte(oldCSV)) {
				findings = append(findings, Finding{Note,
					fmt.Sprintf("Netdata's module %s reads %s", module, oldCSV),
					readInstead(csv) + Migration})
			}
		}
	}
	return findings
}

func readInstead(csv string) string {
	if csv == "" {
		return ""
	}
	return "let it read " + csv + " instead; its format is the same\n"
}

// legacyFindings tells of rules that nobody sees over nf_tables.
func (m *Machine) legacyFindings() (findings []Finding) {
	var tables []string
	for _, file := range legacyTables {
		data, err := os.ReadFile(m.path(file)) // it has no size, and is no link to elsewhere
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return []Finding{{Unseen, "whether there are rules of iptables-legacy", AsRoot}}
		}
		program := "iptables-legacy"
		if strings.Contains(file, "ip6") {
			program = "ip6tables-legacy"
		}
		for table := range strings.FieldsSeq(string(data)) {
			if table == "nat" || table == "filter" {
				tables = append(tables, fmt.Sprintf("%s -t %s -S", program, table))
			}
		}
	}
	if len(tables) > 0 {
		findings = append(findings, Finding{Unseen,
			"what the rules of iptables-legacy do: whether they publish a container's ports, or count what is counted here",
			"look at them: " + strings.Join(tables, "; ")})
	}
	return findings
}

// read returns the content of a file, nothing where it can't be read: these
// files are everybody's to read, and mostly not there.
func (m *Machine) read(path string) []byte {
	data, err := configfile.Read(m.path(path), leftoverLimit)
	if err != nil {
		return nil
	}
	return data
}
