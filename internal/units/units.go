// Package units writes numbers for people: bytes, rates, shares and bars.
package units

import (
	"fmt"
	"math"
	"strings"
)

// prefixes are those of a thousand bytes, a million, and so on.
const prefixes = "kMGTPE"

// Bytes writes bytes in decimal units, as providers bill them: 46.90 GB.
func Bytes(bytes uint64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes), -1
	for value >= 999.995 { // which two decimals would show as 1000.00
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.2f %cB", value, prefixes[unit])
}

// Rate writes bytes per second, without the unit of time: 46.90 GB.
func Rate(bytesPerSecond float64) string {
	return Bytes(uint64(math.Round(max(0, min(bytesPerSecond, math.MaxInt64)))))
}

// RoundBytes writes a round number of bytes without needless decimals: 1.5 TB.
func RoundBytes(bytes float64) string {
	unit := -1
	for bytes >= 1000 && unit < len(prefixes)-1 {
		bytes /= 1000
		unit++
	}
	number := fmt.Sprintf("%.4g", bytes)
	if bytes == 0 {
		return "0"
	}
	if unit < 0 {
		return number + " B"
	}
	return fmt.Sprintf("%s %cB", number, prefixes[unit])
}

// Share writes a share from 0 to 1 in percent. It never rounds a positive
// share to 0.0% or a share below 1 to 100.0%.
func Share(share float64) string {
	switch percent := math.Round(share*1000) / 10; {
	case share > 0 && percent == 0:
		return "<0.1%"
	case share < 1 && percent == 100:
		return ">99.9%"
	default:
		return fmt.Sprintf("%.1f%%", percent)
	}
}

// Bar draws a bar of which largest would fill width cells, to an eighth of a
// cell. Every value above 0 has a bar.
func Bar(value, largest uint64, width int) string {
	if value == 0 || largest == 0 || width <= 0 {
		return ""
	}
	eighths := max(1, int(math.Round(float64(value)/float64(largest)*float64(width)*8)))
	bar := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		bar += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return bar
}
