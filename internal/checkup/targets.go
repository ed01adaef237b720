package checkup

import (
	"fmt"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/internal/finding"
)

// ListTargets compares the targets in the list of ports at path with those that
// were found. [List] reports a list that can't be read.
func ListTargets(path string, found []accounting.Target) []finding.Finding {
	entries, err := portlist.ReadEntries(path)
	if err != nil {
		return nil
	}
	listed := portlist.Targets(entries)
	slices.SortFunc(listed, accounting.Target.Compare)
	var missing []accounting.Target
	for _, target := range found {
		if _, known := slices.BinarySearchFunc(listed, target, accounting.Target.Compare); !known {
			missing = append(missing, target)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []finding.Finding{{ID: finding.PortListIncomplete, Level: finding.Wrong, Subject: path,
		Message: fmt.Sprintf("where ports are forwarded is configured, but not in the list %s: %s", path, describeTargets(missing)), Remedy: updateList}}
}

// describeTargets describes the first few of many targets for people.
func describeTargets(targets []accounting.Target) string {
	const limit = 8
	var parts []string
	for _, target := range targets[:min(limit, len(targets))] {
		parts = append(parts, fmt.Sprintf("port %d to %s", target.Port, target))
	}
	if more := len(targets) - limit; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
