package survey

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// legacyNAT returns the families in which iptables-legacy has a table that
// translates in a network namespace, of which the directory is the one in /proc.
func legacyNAT(directory string) (families []string) {
	for _, table := range []struct{ family, file string }{{"ip", "ip_tables_names"}, {"ip6", "ip6_tables_names"}} {
		names, err := os.ReadFile(filepath.Join(directory, table.file)) // missing without the kernel's module
		if err == nil && slices.Contains(strings.Fields(string(names)), "nat") {
			families = append(families, table.family)
		}
	}
	return families
}
