package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// applicationID is in the header of every database that this package creates:
// "ssmo".
const applicationID = 0x73736d6f

// migrations lead from one version of the schema to the next. The user_version of
// a database is the number of migrations that were applied to it.
var migrations = []string{schema, formerSchema, clockSchema, laterSchema, untilSchema}

// Names of tables are singular; plurals are the views for other programs.
const schema = `
create table ledger (
	id integer primary key check (id = 1),
	saves integer not null,       -- how many there were
	saved integer not null,       -- when the last one was, as all times here in seconds since 1970
	zone text not null,           -- periods begin by this zone
	zone_offset integer not null, -- its offset when it was written, where no database of zones has it
	month_day integer not null    -- and months on this day
) strict;
insert into ledger values (1, 0, 0, 'Local', 0, 1);

create table account (
	port integer not null,
	protocol integer not null,  -- 6 tcp, 17 udp
	direction integer not null, -- 0 in, 1 out
	packets integer not null,   -- totals
	bytes integer not null,
	last_packets integer not null, -- the counter's value at the last reading
	last_bytes integer not null,
	epoch blob not null,        -- with the handle: which counter that was
	handle integer not null,
	primary key (port, protocol, direction)
) strict, without rowid;

create table tenure (
	id integer primary key,
	port integer not null,
	name text not null,
	since integer not null
) strict;

create table port (
	port integer primary key,
	tenure integer not null references tenure (id), -- in force
	source_name text not null  -- the last one that a source gave: a change renames the tenure
) strict;

create table period (
	period integer not null, -- 0 hour, 1 day, 2 month
	start integer not null,
	until integer not null,
	label text not null,     -- for the views
	primary key (period, start)
) strict, without rowid;

create table usage (
	period integer not null,
	start integer not null,
	tenure integer not null references tenure (id),
	protocol integer not null,
	packets_in integer not null,
	bytes_in integer not null,
	packets_out integer not null,
	bytes_out integer not null,
	primary key (period, start, tenure, protocol)
) strict, without rowid;

-- What was deleted from usage as it grew old, so that sums can be checked.
create table pruned (
	period integer not null,
	port integer not null,
	protocol integer not null,
	packets_in integer not null,
	bytes_in integer not null,
	packets_out integer not null,
	bytes_out integer not null,
	primary key (period, port, protocol)
) strict, without rowid;

create table gap (
	id integer primary key,
	since integer not null,
	until integer, -- null until the counters have been read
	packets_in integer not null,
	bytes_in integer not null,
	packets_out integer not null,
	bytes_out integer not null
) strict;

create view clients as
select case name when '' then cast(tenure.port as text) else name end as client, tenure.port as port,
	strftime('%Y-%m-%dT%H:%M:%SZ', since, 'unixepoch') as since,
	exists (select 1 from port where port.tenure = tenure.id) as current
from tenure;
create view usage_hourly as ` + usageView + `0;
create view usage_daily as ` + usageView + `1;
create view usage_monthly as ` + usageView + `2;
`

// formerVersion is the first version that has the table former.
const formerVersion = 2

// formerSchema adds the counters of tables that were read before others.
const formerSchema = `
create table former (
	epoch blob not null,        -- the table's
	port integer not null,
	protocol integer not null,
	direction integer not null,
	handle integer not null,
	last_packets integer not null, -- the value at its last reading
	last_bytes integer not null,
	left integer not null,      -- when another table was read
	primary key (epoch, port, protocol, direction)
) strict, without rowid;
`

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

// laterVersion is the first version that has the table later.
const laterVersion = 4

// laterSchema adds the clients that get a port at the next reading.
const laterSchema = `
create table later (
	port integer primary key,
	name text not null
) strict;
`

// untilVersion is the first version that has the end of a tenure and the table forgotten.
const untilVersion = 5

// untilSchema adds the end of each tenure, and what clients had used that were forgotten.
// That is usage of the tenure of port 0.
const untilSchema = `
alter table tenure add column until integer not null default 0; -- 0: the client has the port, -1: had it at this migration
update tenure set until = -1;
update tenure set until = (select since from tenure next where next.port = tenure.port and next.id > tenure.id order by next.id limit 1)
	where id not in (select tenure from port);

-- What was moved from a port to port 0, where it counts negative, so that sums can be checked.
create table forgotten (
	period integer not null,
	port integer not null,
	protocol integer not null,
	packets_in integer not null,
	bytes_in integer not null,
	packets_out integer not null,
	bytes_out integer not null,
	primary key (period, port, protocol)
) strict, without rowid;

drop view clients;
create view clients as
select case name when '' then cast(port as text) else name end as client, port,
	strftime('%Y-%m-%dT%H:%M:%SZ', since, 'unixepoch') as since, until <= 0 as current
from tenure where port > 0;
`

const usageView = `
select period.label as period, usage.start as time,
	case name when '' then cast(tenure.port as text) else name end as client, tenure.port as port,
	case protocol when 6 then 'tcp' when 17 then 'udp' else cast(protocol as text) end as protocol,
	bytes_in, bytes_out, packets_in, packets_out
from usage join tenure on tenure.id = usage.tenure
	join period on period.period = usage.period and period.start = usage.start
where usage.period = `

// migrate brings the schema up to date, in one transaction.
func migrate(conn *sqlite3.Conn, from int) error {
	if from == len(migrations) {
		return nil
	}
	return inTransaction(conn, func() error {
		for version := from; version < len(migrations); version++ {
			if err := conn.Exec(migrations[version]); err != nil {
				return fmt.Errorf("migrating to schema version %d: %w", version+1, err)
			}
		}
		return conn.Exec(fmt.Sprintf("pragma user_version = %d; pragma application_id = %d", len(migrations), applicationID))
	})
}

// inTransaction runs do in a transaction. The transaction takes the write lock first,
// so that nothing that do reads can be out of date when it writes.
func inTransaction(conn *sqlite3.Conn, do func() error) error {
	if err := conn.Exec("begin immediate"); err != nil {
		return err
	}
	err := do()
	if err == nil {
		if err = conn.Exec("commit"); err == nil {
			return nil
		}
	}
	if !conn.GetAutocommit() { // some errors have ended it already
		_ = conn.Exec("rollback")
	}
	return err
}
