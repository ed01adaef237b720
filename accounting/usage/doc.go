// Package usage turns what the store has recorded into reports: how much each
// client used by hour, day, month or in total. It divides time by a [Calendar],
// and compares usage with the [Limits] of clients.
//
// [NewReport] makes a [Report] for a [Request]. It has a [History], the database of
// ssmonitor/accounting/store, show it a [Snapshot], which answers each [Query] with
// [Records].
package usage
