// Package accounting is the arithmetic of ssmonitor: which ports are counted,
// what one reading of the kernel's counters holds, and what follows from a
// series of readings — totals that never go back and rates that are never
// negative.
//
// Data flows one way: a [Source] is read into a [Sample], the [Ledger] turns
// samples into totals, a [Meter] drives both and hands out a [Report]. The
// package knows neither netlink nor any output format; it imports the standard
// library only.
package accounting
