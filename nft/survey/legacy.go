package survey

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// legacyFile is where a family's tables of iptables-legacy show: in a file of the network
// namespace that only root can read, and as a module that is loaded when a namespace
// creates the table nat.
type legacyFile struct{ family, tables, module string }

var legacyFiles = [...]legacyFile{
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

// legacyNAT reports whether iptables-legacy has a table that translates. Without the right
// to know, it takes the kernel's module for one.
func legacyNAT(directory, modules string) bool {
	tables, err := LegacyTables(directory)
	if errors.Is(err, fs.ErrPermission) {
		return slices.ContainsFunc(legacyFiles[:], func(file legacyFile) bool {
			_, err := os.Stat(filepath.Join(modules, file.module))
			return err == nil
		})
	}
	return slices.ContainsFunc(tables, func(table LegacyTable) bool { return table.Name == "nat" })
}
