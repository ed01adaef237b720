// Package output is what ssmonitor shows: the CSV file, the JSON on the
// agent's socket with its server and client, and Netdata's plugin protocol.
//
// Everything here is made from an [accounting.Report] and knows nothing of how
// it was read. A number that is not known is left out, in the way of each
// format: no line in the CSV, no key in the JSON, no value for Netdata.
package output
