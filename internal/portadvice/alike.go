package portadvice

import (
	"fmt"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/lookalike"
	"ssmonitor/internal/terminal"
)

// alikeNames looks for names of several clients that look like one: whoever reads
// a table takes the usage of one for that of the other.
func alikeNames(ports accounting.Ports) (findings []finding.Finding) {
	const most = 8
	bySkeleton := make(map[string]accounting.Ports) // a port for each name
	known := make(map[string]bool)                  // names: there may be thousands that look like one
	var alike []string
	for _, port := range ports {
		if port.Name == "" || known[port.Name] {
			continue
		}
		known[port.Name] = true
		skeleton := lookalike.Skeleton(port.Name)
		if bySkeleton[skeleton] = append(bySkeleton[skeleton], port); len(bySkeleton[skeleton]) == 2 {
			alike = append(alike, skeleton)
		}
	}
	for i, skeleton := range alike {
		if i == most {
			return append(findings, finding.Finding{ID: finding.ClientNames, Level: finding.Note, Message: terminal.Count(len(alike)-most, "more group") + " of names that look alike"})
		}
		findings = append(findings, alikeFinding(bySkeleton[skeleton]))
	}
	return findings
}

// alikeFinding describes ports whose names look alike.
func alikeFinding(ports accounting.Ports) finding.Finding {
	const most = 8
	var names []string
	for i, port := range ports {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(ports)-most))
			break
		}
		text := fmt.Sprintf("%q of port %d", port.Name, port.Number)
		if r, differs := firstDifference(port.Name, ports[0].Name); i > 0 && differs {
			text += fmt.Sprintf(" (with %U)", r)
		}
		names = append(names, text)
	}
	last := ports[len(ports)-1]
	return finding.Finding{ID: finding.ClientNames, Level: finding.Note, Subject: ports[0].Name, Message: "the names of several clients look alike: " + strings.Join(names, ", "),
		Remedy: fmt.Sprintf("if they are one client, give it one name, else another: ssmonitor client rename %d NAME", last.Number)}
}

// firstDifference returns the first character of a name that another does not have in
// that place.
func firstDifference(name, other string) (rune, bool) {
	others := []rune(other)
	for i, r := range []rune(name) {
		if i >= len(others) || others[i] != r {
			return r, true
		}
	}
	return 0, false
}
