// Package store keeps the ledger of package accounting and the usage of its
// clients in one SQLite database: durable, checked, and never without a good
// copy.
//
// # Files
//
// A state directory holds ssmonitor.db, in WAL mode with synchronous=FULL, with
// a checksum on every page, and ssmonitor.backup.db, which is copied from it
// once a day and at a clean stop. All files have mode 0640 and the owner and the
// group of the directory. The log (-wal) and its index (-shm) stay when the
// database is closed, so that members of the group, who may not create files,
// can read at any time. New databases and backups are written under another
// name (.new), synced, and renamed to their place.
//
// # Saves
//
// A save is one transaction. It writes the accounts that have changed, and adds
// what each total has gained to three rows of usage: of the hour, the day and
// the month in which it was read. The gain is the difference between the new
// total and the one in the database; the readings only say how it is spread
// over time. So the sums of usage over hours, days and months are always what
// the totals gained, also after a save that failed with its transaction
// durable. [Check] verifies this.
//
// Periods begin by the zone and the day of the month that [Options] name.
// Another zone or day begins new periods; what is written stays. Hours and days
// are deleted when they have been kept for their time, the oldest ones first,
// one of each in a save.
//
// # Clients
//
// Usage belongs to a tenure: a port and the name of its client from a time on.
// A source that changes its name for a port renames the tenure; [NewClient]
// begins another one. Reports put tenures of the same name together.
//
// # Damage
//
// Damaged pages are found when they are read: the accounts and the clients at
// the start, the usage when it is written, asked for or backed up. A damaged
// database is renamed to NAME.damaged-TIME and kept, and the ledger goes on from
// the backup. An account carries the identity and the last raw value of its
// counter, so that the next reading makes the totals exact, to the byte, as long
// as the kernel's table lives. What that reading adds for the time since the
// backup is in the period of the reading, and recorded as a gap. A damaged log
// ends at its last good transaction, which is an earlier save. When the backup
// is damaged, too, the ledger begins anew, with a notice that says that totals
// were lost: refusing to save would lose the new totals too.
//
// A running store knows all accounts. It loses no total when its files are
// damaged, removed or replaced, and no usage when it still has them open.
//
// # For other programs
//
// Four views stay as they are in all later versions. Other programs should open
// the database read-only: a program that does not know about page checksums
// leaves pages that look damaged.
//
//	clients        client, port, since (RFC 3339, UTC), current (0 or 1)
//	usage_hourly   period, time, client, port, protocol, bytes_in, bytes_out, packets_in, packets_out
//	usage_daily    the same
//	usage_monthly  the same
//
// client is the name, or the port's number where it has none. period is when
// the hour (RFC 3339, with the offset of its zone), the day or the month (ISO
// 8601 date of its first day) began; time is the same instant in seconds since
// 1970. protocol is tcp or udp. A client that had a port twice has two rows in a
// period.
package store
