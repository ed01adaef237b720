// Package report writes the usage of clients over time, a [usage.Report], for people: as
// a table for terminals, CSV for spreadsheets, or an HTML page.
package report
