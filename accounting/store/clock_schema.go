package store

import "github.com/ncruces/go-sqlite3"

// clockSchema adds what the ledger knows of the clock, and the usage that follows
// it: the usage of the hours in recent_hour, without what is in early.
const clockSchema = `
alter table ledger add column boot text not null default '';
alter table ledger add column uptime integer not null default 0;  -- at the last save, in seconds
alter table ledger add column trusted integer not null default 0; -- the time by which usage is deleted
alter table ledger add column held integer not null default 0;
alter table ledger add column began integer not null default 0;
alter table ledger add column ran integer not null default 0;
update ledger set trusted = saved;

create table recent_hour (
	start integer primary key, -- of the hour, its day and its month
	day integer not null,
	month integer not null
) strict;

-- What recent hours contained before usage that follows the clock was added.
create table early (
	start integer not null,
	tenure integer not null references tenure (id),
	protocol integer not null,
	packets_in integer not null,
	bytes_in integer not null,
	packets_out integer not null,
	bytes_out integer not null,
	primary key (start, tenure, protocol)
) strict, without rowid;
`

// clock returns the clock of the last save.
func (db *database) clock() (c clock, err error) {
	err = db.run("select boot, saved, uptime, trusted, held, began, ran from ledger", func(row *sqlite3.Stmt) error {
		c = clock{
			instant: instant{row.ColumnText(0), row.ColumnInt64(1), row.ColumnInt64(2)},
			trusted: row.ColumnInt64(3), held: row.ColumnInt64(4), began: row.ColumnInt64(5), ran: row.ColumnInt64(6),
		}
		return nil
	})
	return c, err
}
