package checkup

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"ssmonitor/internal/configfile"
	"ssmonitor/internal/finding"
	"ssmonitor/nft/survey"
)

// The parts of the setup with iptables and a script that ssmonitor replaces.
const (
	oldScript = "/usr/bin/ssmonitor.py"
	oldCSV    = "/tmp/ssmonitor.tmp"
)

var (
	oldUnits = [...]string{"/etc/systemd/system/ssmonitor.service", "/run/systemd/system/ssmonitor.service",
		"/usr/local/lib/systemd/system/ssmonitor.service", "/usr/lib/systemd/system/ssmonitor.service"}
	oldRules = [...]string{"/etc/iptables/iptables.rules", "/etc/iptables/ip6tables.rules", "/etc/iptables/rules.v4", "/etc/iptables/rules.v6"}
	// oldModules are the usual places of python.d modules.
	oldModules = [...]string{
		"/usr/lib/netdata/python.d/*.chart.py", "/usr/libexec/netdata/python.d/*.chart.py", "/etc/netdata/*/python.d/*.chart.py",
	}
)

// countingRule matches a rule, as iptables-save writes it, that has a port and no
// target.
var countingRule = regexp.MustCompile(`(?m)^(?:\[\d+:\d+\] )?-A (?:INPUT|OUTPUT|FORWARD) -p (?:tcp|udp)(?: -m (?:tcp|udp))? --[ds]port \d+[ \t]*$`)

const leftoverLimit = 4 << 20 // bytes

// findLeftovers looks for the setup that ssmonitor replaces. csv is the file that the
// agent writes: a module that reads it is not a leftover.
func (m *Machine) findLeftovers(csv string) (findings []finding.Finding) {
	if m.exists(oldScript) {
		findings = append(findings, finding.Finding{ID: finding.OldScript, Level: finding.Note, Subject: oldScript, Message: "the script that ssmonitor replaces is still there: " + oldScript, Remedy: migration})
	}
	for _, unit := range m.findOldUnits() {
		findings = append(findings, finding.Finding{ID: finding.OldUnit, Level: finding.Wrong, Subject: unit,
			Message: fmt.Sprintf("the unit %s starts the old script and has the name of the agent's unit", unit),
			Remedy:  removeOldUnit(unit) + migration})
	}
	for _, file := range oldRules {
		if rules := len(countingRule.FindAll(m.read(file), -1)); rules > 0 {
			findings = append(findings, finding.Finding{ID: finding.OldRules, Level: finding.Note, Subject: file,
				Message: fmt.Sprintf("%s still has %s: each costs time for every packet", file, describeCountingRules(rules)), Remedy: migration})
		}
	}
	findings = append(findings, m.oldModuleFindings(csv)...)
	return append(findings, m.legacyFindings()...)
}

// findOldUnits returns the units that start the old script.
func (m *Machine) findOldUnits() (units []string) {
	for _, unit := range oldUnits {
		if bytes.Contains(m.read(unit), []byte("ssmonitor.py")) {
			units = append(units, unit)
		}
	}
	return units
}

// removeOldUnit returns the commands that let our unit run. The old one's enablement is
// that of ours, which has the same name.
func removeOldUnit(unit string) string {
	return "systemctl disable --now ssmonitor; rm " + unit + "; systemctl daemon-reload\n" +
		"then, once ssmonitor is installed: systemctl enable --now ssmonitor-setup ssmonitor\n"
}

// oldModuleFindings checks who reads the old script's file, and whether it is still there.
func (m *Machine) oldModuleFindings(csv string) (findings []finding.Finding) {
	if csv == oldCSV {
		return nil
	}
	if info, err := os.Stat(m.path(oldCSV)); err == nil {
		message := "the old script's file is still there: " + oldCSV
		remedy := "rm " + oldCSV
		if age := m.Now.Sub(info.ModTime()).Truncate(time.Second); age < 10*time.Second {
			message += fmt.Sprintf(", written %s ago", max(0, age))
			remedy = "stop the script, if it still runs: " + migration + "\nthen " + remedy
		}
		findings = append(findings, finding.Finding{ID: finding.OldCSV, Level: finding.Note, Subject: oldCSV, Message: message, Remedy: remedy})
	}
	for _, pattern := range oldModules {
		for _, module := range m.glob(pattern) {
			if bytes.Contains(m.read(module), []byte(oldCSV)) {
				findings = append(findings, finding.Finding{ID: finding.OldModule, Level: finding.Note, Subject: module,
					Message: fmt.Sprintf("Netdata's module %s reads %s", module, oldCSV),
					Remedy:  readInstead(csv) + migration})
			}
		}
	}
	return findings
}

func readInstead(csv string) string {
	if csv == "" {
		return ""
	}
	return "have it read " + csv + " instead; its format is the same\n"
}

// legacyFindings reports rules that can't be seen over nf_tables.
func (m *Machine) legacyFindings() []finding.Finding {
	found, err := survey.LegacyTables(m.path("/proc/thread-self/net")) // of the network namespace that netlink answers for
	if err != nil {
		return []finding.Finding{{ID: finding.IPTablesLegacy, Level: finding.Unknown, Subject: pathOf(err), Message: "rules of iptables-legacy can't be looked for", Remedy: m.needRoot()}}
	}
	var listings []string
	for _, table := range found {
		if table.Name == "nat" || table.Name == "filter" {
			listings = append(listings, fmt.Sprintf("%stables-legacy -t %s -S", table.Family, table.Name))
		}
	}
	if len(listings) == 0 {
		return nil
	}
	return []finding.Finding{{ID: finding.IPTablesLegacy, Level: finding.Unknown, Message: "the rules of iptables-legacy can't be checked: they may redirect the ports of containers, or count the same ports",
		Remedy: "look at them: " + strings.Join(listings, "; ")}}
}

// read returns the content of a file, or nil if it can't be read. Most of these
// files do not exist, and everybody may read the rest.
func (m *Machine) read(path string) []byte {
	data, err := configfile.Read(m.path(path), leftoverLimit)
	if err != nil {
		return nil
	}
	return data
}
