// Package output has no code. Its folders are the formats in which ssmonitor publishes
// its data.
//
// The current totals and rates, an accounting.Report, are published as a CSV file (csv),
// as JSON on the agent's socket (api, with its server and client), in Netdata's plugin
// protocol (netdata), as metrics for Prometheus (prometheus), and as a live table (top).
// The usage of clients over time, a usage.Report, is written as JSON (api) and as a
// table, CSV or an HTML page (report). Root changes a running agent through control.
//
// No format depends on how its report was read. An unknown value is omitted, in the way
// of each format: no line in the CSV, no key in the JSON, no value for Netdata.
package output
