// Package output holds the formats in which ssmonitor publishes its data.
//
// The current totals and rates, an [accounting.Report], are published as a CSV
// file (csv.go), as JSON on the agent's socket (json.go, with its server and
// client), in Netdata's plugin protocol (netdata.go, plugin.go), and as metrics for
// Prometheus (metrics*.go, secure.go). The usage of clients over time, an
// [usage.Report], is written as a table for terminals, CSV, JSON or an
// HTML page (usage_*.go).
//
// No format depends on how its report was read. An unknown value is omitted, in
// the way of each format: no line in the CSV, no key in the JSON, no value for
// Netdata.
package output
