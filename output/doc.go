// Package output holds the formats in which ssmonitor publishes its data: the
// CSV file, the JSON on the agent's socket with its server and client, and
// Netdata's plugin protocol.
//
// Everything here is made from an [accounting.Report] and does not depend on
// how the report was read. An unknown value is omitted, in the way of each
// format: no line in the CSV, no key in the JSON, no value for Netdata.
package output
