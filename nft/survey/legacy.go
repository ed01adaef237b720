package survey

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// legacyTables is where each family's tables of iptables-legacy show: in a file
// below /proc that only root can read, and as a module that is loaded when a
// namespace creates the table nat.
var legacyTables = [...]struct{ family, file, module string }{
	{"ip", "ip_tables_names", "iptable_nat"},
	{"ip6", "ip6_tables_names", "ip6table_nat"},
}

// legacyNAT returns the families in which iptables-legacy has a table that
// translates in a network namespace, whose directory in /proc is given. Without
// the right to know, it takes the kernel's module for one.
func legacyNAT(directory, modules string) (families []string) {
	for _, table := range legacyTables {
		names, err := os.ReadFile(filepath.Join(directory, table.file)) // missing without the kernel's module
		found := err == nil && slices.Contains(strings.Fields(string(names)), "nat")
		if errors.Is(err, fs.ErrPermission) {
			_, err = os.Stat(filepath.Join(modules, table.module))
			found = err == nil
		}
		if found {
			families = append(families, table.family)
		}
	}
	return families
}
