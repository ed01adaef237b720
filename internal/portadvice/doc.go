// Package portadvice finds what is odd about the counted ports on this machine, whoever
// asks: names of clients that look alike, and ports that the kernel may choose itself.
package portadvice

import (
	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/nft"
)

// Findings returns what is odd about the ports that are counted at the hook. root is the
// directory that paths begin at, / outside of tests.
func Findings(root string, ports accounting.Ports, hook nft.Hook) []finding.Finding {
	return append(alikeNames(ports), localPorts(root, ports, hook)...)
}
