package sqlitefile

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// ErrUnsafeTable means that reading or writing a table runs SQL or a module that somebody
// has put into the database.
var ErrUnsafeTable = errors.New("not an ordinary table")

// ErrMissingTable means that a table is missing.
var ErrMissingTable = errors.New("no such table")

// SQLite writes "CREATE TABLE" like this, and "CREATE VIRTUAL TABLE" for a table of a
// module, whose code would run. It refuses a file where type and text differ.
const (
	isOrdinary = `select type = 'table' and substr(sql, 1, 13) = 'CREATE TABLE ' from sqlite_schema
		where type in ('table', 'view') and name = ? collate nocase`
	computed = `select name from pragma_table_xinfo(?) where hidden <> 0`
	// What follows is computed when a row is written.
	defaults = `select name from pragma_table_xinfo(?) where instr(dflt_value, '(') > 0`
	indexes  = `select l.name from pragma_index_list(?) l where l.partial
		or exists (select 1 from pragma_index_xinfo(l.name) where cid = -2)`
)

// CheckTable fails with ErrUnsafeTable unless reading a table runs nothing of what is in
// the database, and with ErrMissingTable.
func (c *Conn) CheckTable(name string) error {
	found := false
	err := c.each(isOrdinary, name, func(row *sqlite3.Stmt) error {
		if found = row.ColumnBool(0); !found {
			return fmt.Errorf("%q is %w", name, ErrUnsafeTable)
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%q: %w", name, ErrMissingTable)
	}
	if err != nil {
		return err
	}
	return c.refuse("column", computed, name)
}

// CheckTables fails with ErrUnsafeTable unless reading and writing the tables runs nothing
// of what is in the database. Views do not matter: none of them can be used.
func (c *Conn) CheckTables() error {
	return c.each(`select name from sqlite_schema where type = 'table' and ?1 = ''`, "", func(row *sqlite3.Stmt) error {
		name := row.ColumnText(0)
		if err := c.CheckTable(name); err != nil {
			return err
		}
		if err := c.refuse("column", defaults, name); err != nil {
			return err
		}
		return c.refuse("index", indexes, name)
	})
}

// refuse fails if a query about a table finds something.
func (c *Conn) refuse(kind, query, table string) error {
	return c.each(query, table, func(row *sqlite3.Stmt) error {
		return fmt.Errorf("%s %q of %q is computed: %w", kind, row.ColumnText(0), table, ErrUnsafeTable)
	})
}

// each calls visit with the rows that a query with one parameter finds.
func (c *Conn) each(query, parameter string, visit func(row *sqlite3.Stmt) error) error {
	statement, _, err := c.Prepare(query)
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }() // Err has the error
	if err := statement.BindText(1, parameter); err != nil {
		return err
	}
	for statement.Step() {
		if err := visit(statement); err != nil {
			return err
		}
	}
	return statement.Err()
}
