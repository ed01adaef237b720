package output

import "math"

// What the reports for terminals share with package output/top.

// HumanBytes writes bytes in decimal units, as providers bill them: 46.90 GB.
func HumanBytes(bytes uint64) string { return humanBytes(bytes) }

// HumanRate writes bytes per second, without the unit of time: 46.90 GB.
func HumanRate(bytesPerSecond float64) string {
	return humanBytes(uint64(math.Round(max(0, min(bytesPerSecond, math.MaxInt64)))))
}

// HumanShare writes a share from 0 to 1 in percent. It never rounds a positive
// share to 0.0% or a share below 1 to 100.0%.
func HumanShare(share float64) string { return humanShare(share) }

// RoundBytes writes a round number of bytes without needless decimals: 1.5 TB.
func RoundBytes(bytes uint64) string { return roundBytes(float64(bytes)) }

// Bar draws a bar of which largest would fill width cells, to an eighth of a cell.
// Every value above 0 has a bar.
func Bar(value, largest uint64, width int) string { return usageBar(value, largest, width) }

// TerminalWidth returns the number of a terminal's columns that text takes.
func TerminalWidth(text string) int { return displayWidth(text) }

// PadRight pads the text to a width in a terminal's columns. It cuts a longer text
// and ends it with an ellipsis.
func PadRight(text string, width int) string { return padRight(text, width) }
