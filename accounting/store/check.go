package store

import (
	"fmt"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

// booked finds the ports whose usage by one period, including what was pruned and what
// was forgotten, is not their total.
const booked = `
with booked as (
	select port, protocol, sum(packets_in) as packets_in, sum(bytes_in) as bytes_in, sum(packets_out) as packets_out, sum(bytes_out) as bytes_out
	from (select port, protocol, packets_in, bytes_in, packets_out, bytes_out from usage join tenure on tenure.id = usage.tenure where period = ?1
		union all select port, protocol, packets_in, bytes_in, packets_out, bytes_out from pruned where period = ?1
		union all select port, protocol, packets_in, bytes_in, packets_out, bytes_out from forgotten where period = ?1)
	group by port, protocol
), total as (
	select port, protocol, sum(packets * (direction = 0)) as packets_in, sum(bytes * (direction = 0)) as bytes_in,
		sum(packets * (direction = 1)) as packets_out, sum(bytes * (direction = 1)) as bytes_out
	from account group by port, protocol
)
select coalesce(total.port, booked.port), coalesce(total.protocol, booked.protocol),
	coalesce(total.bytes_in, 0), coalesce(booked.bytes_in, 0), coalesce(total.bytes_out, 0), coalesce(booked.bytes_out, 0)
from total full join booked on booked.port = total.port and booked.protocol = total.protocol
where coalesce(total.packets_in, 0) <> coalesce(booked.packets_in, 0) or coalesce(total.bytes_in, 0) <> coalesce(booked.bytes_in, 0)
	or coalesce(total.packets_out, 0) <> coalesce(booked.packets_out, 0) or coalesce(total.bytes_out, 0) <> coalesce(booked.bytes_out, 0)
order by 1, 2`

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
			if err := db.run(booked, func(row *sqlite3.Stmt) error {
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
