package survey

import (
	"os"
	"slices"
	"strings"
)

// legacyNAT returns the families in which iptables-legacy has a table that
// translates in this network namespace.
func legacyNAT() (families []string) {
	for _, table := range []struct{ family, path string }{
		{"ip", "/proc/thread-self/net/ip_tables_names"},
		{"ip6", "/proc/thread-self/net/ip6_tables_names"},
	} {
		names, err := os.ReadFile(table.path) // missing without the kernel's module
		if err == nil && slices.Contains(strings.Fields(string(names)), "nat") {
			families = append(families, table.family)
		}
	}
	return families
}
