// Package usage turns what the store has recorded into reports: how much each
// client used by hour, day, month or in total. It divides time by a [Calendar],
// and compares usage with the [Limits] of clients.
//
// Data flows one way: a [History] answers a [Query] with [Records], and
// [NewReport] makes a [Report] of them. The database, which is a source, is in
// ssmonitor/accounting/store.
package usage
