package survey

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// legacyFiles is where each family's tables of iptables-legacy show: in a file of the
// network namespace that only root can read, and as a module that is loaded when a
// namespace creates the table nat.
var legacyFiles = [...]struct{ family, tables, module string }{
	{"ip", "ip_tables_names", "iptable_nat"},
	{"ip6", "ip6_tables_names", "ip6table_nat"},
}

// LegacyTable is a table of iptables-legacy, whose rules can't be read over nf_tables.
type LegacyTable struct{ Family, Name string }

// LegacyTables returns the tables of iptables-legacy in a network namespace, whose
// directory in /proc is given. The error is fs.ErrPermission without the right to know.
func LegacyTables(directory string) (tables []LegacyTable, err error) {
	for _, file := range legacyFiles {
		names, err := os.ReadFile(filepath.Join(directory, file.tables)) // missing without the kernel's module
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for name := range strings.FieldsSeq(string(names)) {
			tables = append(tables, LegacyTable{file.family, name})
		}
	}
	return tables, nil
}

// legacyNAT returns the families in which iptables-legacy has a table that translates.
// Without the right to know, it takes the kernel's module for one.
func legacyNAT(directory, modules string) (families []string) {
	tables, err := LegacyTables(directory)
	for _, table := range tables {
		if table.Name == "nat" {
			families = append(families, table.Family)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		for _, file := range legacyFiles {
			if _, err := os.Stat(filepath.Join(modules, file.module)); err == nil {
				families = append(families, file.family)
			}
		}
	}
	return families
}
