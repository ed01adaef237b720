// Package store keeps the ledger of package accounting and the usage of its
// clients in one SQLite database. Saves are durable, damage is detected, and there
// is a backup.
//
// # Files
//
// A state directory holds ssmonitor.db, in WAL mode with synchronous=FULL, with
// a checksum on every page, and ssmonitor.backup.db, which is copied from it
// once a day and at a clean stop. All files have mode 0640 and the owner and the
// group of the directory. The log (-wal) and its index (-shm) are kept when the
// database is closed, so that members of the group, who may not create files,
// can read at any time. New databases and backups are written under another
// name (.new), synced, and then renamed.
//
// # Saves
//
// A save is one transaction. It writes the accounts that have changed, and adds
// what each total has gained to three rows of usage: for the hour, the day and
// the month in which it was read. The gain is the difference between the new
// total and the one in the database; the readings only determine how it is
// distributed over time. So the usage by hour, day and month always adds up to
// what the totals have gained, even after a save that returned an error although
// its transaction was durable. [Check] verifies this.
//
// An account that is read from another table, as in a fail-over pair with one state
// directory, leaves behind the last values of the counters that it leaves. If their
// table is read again, it continues from them. They are kept for 90 days, at most
// [accounting.MaxFormers] of them; the tables that were left longest ago are
// forgotten first. What a forgotten table still holds is counted again.
//
// A [History] with [History.Unsaved] also shows what was read and not saved yet, by the
// same arithmetic: a report is the same just before and just after a save, unless the
// save follows a clock that was set, renames a client or deletes what is too old.
//
// Periods begin according to the zone and the day of the month in [Options].
// Another zone or day begins new periods; existing ones are kept as they are.
// Hours and days are deleted when their retention time is over, the oldest first,
// one of each per save.
//
// # Clocks
//
// The wall clock can be wrong: a machine without a battery boots in 1970 or at the
// time of its last shutdown, and people mistype years. Each save compares it with the
// time since boot, which nobody can set.
//
// Usage follows a clock that is set by more than a day: what was booked in the same
// run of the clock, at most since 7 days of running, moves by as much, to the hour in
// which each of its hours began. One line in the log reports what moved. So what was
// booked in 1970 is usage of the time since boot as soon as the clock is right, and
// what was booked in 2046 comes back. A run ends at a reboot, unless the clock was
// wrong before: if it is right after the reboot, that usage moves to the time at
// which the last save was made. An agent that is restarted continues the run. Usage of
// a clock that is wrong by more than a day never settles, unless the clock is
// believed.
//
// Hours and days are deleted by the earlier one of the wall clock and a trusted time,
// which goes on while the agent runs. The wall clock sets the trusted time after it
// has held for a day of running, or for 30 days if it is ahead by more than 30 days.
// So a server that was off for a year deletes again after a month, and a clock in
// 2046 deletes nothing in its first 30 days. A new ledger deletes nothing until its
// clock has held for 7 days or over a reboot.
//
// What can't be known stays: in a new ledger, a clock that is wrong until the first
// reboot, but not in the future or before 2020, looks like a long stop. Where the
// boot's id is hidden, as from the unit, a clock that is set while no agent runs moves
// only what was booked by a clock that is known to be wrong. What was read up to an
// hour apart can be booked in the next hour after a move.
//
// # Clients
//
// Usage belongs to a tenure: the time during which a client has a port. A source
// that changes its name for a port renames the tenure; [Store.HandOver] begins
// another one, and [Store.HandOverLater] has the next agent do so, after its first
// reading. Reports combine tenures of the same name. Since no reading of the
// counters can restore a tenure, it is followed by a backup.
//
// A tenure ends when its port is not counted any more. If the port is counted again,
// the tenure goes on, unless a source has another name for the port then.
//
// [Store.Forget] adds the usage of past tenures to one tenure of port 0, in each period,
// and deletes them: every sum over clients stays what it was. What the ports lack is in
// the table forgotten. Deleted rows are overwritten, and the backup is made anew. Files
// that were set aside as damaged, and copies that others have made, still have them.
//
// # Damage
//
// Damaged pages are found when they are read: accounts and clients at the start,
// usage when it is written, queried or backed up. A damaged database is renamed
// to NAME.damaged-TIME, and the ledger continues from the backup. An account
// contains the identity and the last raw value of its counter. So the next reading
// makes the totals exact to the byte, as long as the kernel's table still exists.
// What that reading adds for the time since the backup is usage of the period of
// the reading, and is recorded as a gap. If the damaged pages are not those of the
// accounts, the accounts are kept: no total falls to that of the backup. A damaged log
// ends at its last good transaction, which is an earlier save. If the backup is damaged
// as well, and the accounts can't be read, the ledger begins at 0, with a notice that
// totals were lost: refusing to save would lose the new totals, too.
//
// A running store has all accounts in memory. It loses no total when its files
// are damaged, removed, replaced, truncated or overwritten in place. Before and
// after each save it compares the sizes of the files, the times of their last writes
// and the headers of the database and the log with what it has written, and writes
// again what is missing. Where only the time differs, it reads all of that file. The
// usage since the last checkpoint, which a truncated log contained, is recorded as a
// gap. Removed or replaced files lose no usage. A directory in place of one of them is
// renamed to NAME.moved-TIME.
//
// Only the next save notices what others do. Until then, a process that is killed
// leaves what they did, and queries may fail or wait. A change in the same tick of the
// kernel's clock as a save, and without a change of the size or the header, is not
// noticed: a log then ends there at the next start. If SQLite reads a page of the index
// that somebody has just cut off, the kernel sends SIGBUS: the store catches it,
// opens another connection and repeats the save; some megabytes of the old one
// are never freed.
//
// # Layers
//
// Saves, names and the last backup go through one entry, which consists of these layers:
//
//	use               damage, and repeats once, in the ledger that continues
//	againAfterFault   faults (SIGBUS), and repeats up to twice, with a new index
//	closeAfterFault   panics of SQLite: it closes the database for the next save
//	ensureOpen        what others did to the files, or a directory that could not be locked
//	connect           a write lock of another program, for which it waits
//
// Opening the store has its own way with damage, and readers begin at againAfterFault.
//
// # For other programs
//
// Four views stay the same in all later versions. Other programs should open the
// database read-only: pages that are written by a program that does not know
// about page checksums look damaged.
//
//	clients        client, port, since (RFC 3339, UTC), current (0 or 1)
//	usage_hourly   period, time, client, port, protocol, bytes_in, bytes_out, packets_in, packets_out
//	usage_daily    the same
//	usage_monthly  the same
//
// client is the name, or the port's number if it has no name; "forgotten" of port 0 stands
// for the clients that were forgotten. period is the start
// of the hour (RFC 3339, with the offset of its zone), or of the day or month (ISO
// 8601 date of the first day); time is the same instant in seconds since 1970.
// protocol is tcp or udp. A client that had a port twice can have two rows in a
// period.
package store
