package store

import (
	"fmt"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

// misbooked finds the ports whose usage by one period, including what was pruned and what
// was forgotten, is not their total. All of it is added up in one pass: a join of the totals
// with the usage would compare each port with each other.
const misbooked = `
select port, protocol, sum(bytes_in * (sign > 0)), sum(bytes_in * (sign < 0)), sum(bytes_out * (sign > 0)), sum(bytes_out * (sign < 0))
from (select port, protocol, 1 as sign, packets * (direction = 0) as packets_in, bytes * (direction = 0) as bytes_in,
		packets * (direction = 1) as packets_out, bytes * (direction = 1) as bytes_out from account
	union all select port, protocol, -1, packets_in, bytes_in, packets_out, bytes_out from usage join tenure on tenure.id = usage.tenure where period = ?1
	union all select port, protocol, -1, packets_in, bytes_in, packets_out, bytes_out from pruned where period = ?1
	union all select port, protocol, -1, packets_in, bytes_in, packets_out, bytes_out from forgotten where period = ?1)
group by port, protocol
having sum(packets_in * sign) <> 0 or sum(bytes_in * sign) <> 0 or sum(packets_out * sign) <> 0 or sum(bytes_out * sign) <> 0
order by port, protocol`

// Check reads all of the database in a directory and returns what is wrong with
// it: usage by hour, day or month that does not add up to the totals. It fails
// with ErrDamaged if a page is damaged, and if it can't read the database.
func Check(directory string) (problems []string, err error) {
	path := filepath.Join(directory, databaseName)
	err = view(path, "", openToRead, func(db *database) error {
		if err := db.quickCheck(); err != nil {
			return err
		}
		for i, period := range periods {
			if err := db.run(misbooked, func(row *sqlite3.Stmt) error {
				problems = append(problems, fmt.Sprintf("port %d/%s: the usage by %s is %d bytes in and %d out, the totals are %d and %d",
					row.ColumnInt(0), accounting.Protocol(row.ColumnInt(1)), period,
					row.ColumnInt64(3), row.ColumnInt64(5), row.ColumnInt64(2), row.ColumnInt64(4)))
				return nil
			}, int64(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("checking the ledger: %w", err)
	}
	return problems, nil
}

// quickCheck reads all pages.
func (db *database) quickCheck() error {
	return db.run("pragma quick_check(1)", func(row *sqlite3.Stmt) error {
		if found := row.ColumnText(0); found != "ok" {
			return damaged("%s", found)
		}
		return nil
	})
}
