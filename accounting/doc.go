// Package accounting is the arithmetic of ssmonitor. It defines which ports are
// counted and what a reading of the kernel's counters contains, and turns a
// series of readings into totals that never decrease and rates that are never
// negative.
//
// Data flows one way: a [Table] is read into a [Sample], the [Ledger] turns
// samples into totals, and a [Meter] drives both, saves the ledger in a [Store]
// and returns a [Report].
//
// The store also records the usage of clients by hour, day and month, of which
// ssmonitor/accounting/usage makes reports.
//
// The package knows neither netlink nor any output format, and imports only the
// standard library.
package accounting
