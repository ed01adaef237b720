package finding

import (
	"fmt"
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// DescribePorts describes ports for people: consecutive ones as a range, a single
// protocol by its name, and only the first few of many.
func DescribePorts(ports []accounting.Port) string {
	const limit = 8
	sorted, _ := accounting.Union(ports)
	var ranges []string
	for len(sorted) > 0 {
		if len(ranges) == limit {
			ranges = append(ranges, fmt.Sprintf("and %d more", len(sorted)))
			break
		}
		first, length := sorted[0], 1
		for length < len(sorted) && sorted[length].Number == sorted[length-1].Number+1 && sorted[length].Protocols == first.Protocols {
			length++
		}
		ranges = append(ranges, describeRange(first, sorted[length-1].Number))
		sorted = sorted[length:]
	}
	if len(ranges) == 0 {
		return "no port"
	}
	noun := "ports "
	if len(ranges) == 1 && !strings.Contains(ranges[0], "-") {
		noun = "port "
	}
	return noun + strings.Join(slices.Clip(ranges), ", ")
}

func describeRange(first accounting.Port, last uint16) string {
	text := fmt.Sprint(first.Number)
	if last != first.Number {
		text += fmt.Sprintf("-%d", last)
	}
	switch first.Protocols {
	case accounting.OnlyTCP:
		return text + "/tcp"
	case accounting.OnlyUDP:
		return text + "/udp"
	}
	return text
}
