package finding

import (
	"fmt"
	"strings"

	"ssmonitor/accounting"
)

// DescribePorts describes ports for people, the first few of many ranges.
func DescribePorts(ports []accounting.Port) string {
	const limit = 8
	sorted, _ := accounting.Union(ports)
	if len(sorted) == 0 {
		return "no port"
	}
	var ranges []string
	for len(sorted) > 0 && len(ranges) < limit {
		first, length := firstRange(sorted)
		ranges, sorted = append(ranges, first), sorted[length:]
	}
	if len(sorted) > 0 {
		ranges = append(ranges, fmt.Sprintf("and %d more", len(sorted)))
	}
	noun := "ports "
	if len(ranges) == 1 && !strings.Contains(ranges[0], "-") {
		noun = "port "
	}
	return noun + strings.Join(ranges, ", ")
}

// PortRanges returns ports as texts: consecutive ones as a range, a single protocol by its
// name.
func PortRanges(ports []accounting.Port) (ranges []string) {
	for sorted, _ := accounting.Union(ports); len(sorted) > 0; {
		first, length := firstRange(sorted)
		ranges, sorted = append(ranges, first), sorted[length:]
	}
	return ranges
}

// firstRange returns the first range of ports that are sorted, and how many are in it.
func firstRange(sorted accounting.Ports) (text string, length int) {
	first := sorted[0]
	for length = 1; length < len(sorted) && sorted[length].Number == sorted[length-1].Number+1 && sorted[length].Protocols == first.Protocols; {
		length++
	}
	text = fmt.Sprint(first.Number)
	if length > 1 {
		text += fmt.Sprintf("-%d", sorted[length-1].Number)
	}
	switch first.Protocols {
	case accounting.OnlyTCP:
		text += "/tcp"
	case accounting.OnlyUDP:
		text += "/udp"
	}
	return text, length
}
