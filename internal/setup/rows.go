package setup

import (
	"fmt"
	"reflect"
	"strings"

	"ssmonitor/internal/terminal"
)

// shortRange is the most consecutive ports that have a row each, since they may well be
// clients. More of them, which differ in nothing else, share one.
const shortRange = 16

// marks are what the first column of the table has for a change.
var marks = map[string]string{"": " ", portAdded: "+", portRemoved: "-", portChanged: "~"}

// portRanges divides sorted ports into those that share a row.
func portRanges(ports []Port) (parts [][]Port) {
	for len(ports) > 0 {
		length := 1
		for length < len(ports) && continues(ports[length-1], ports[length]) {
			length++
		}
		if length <= shortRange {
			for i := range length {
				parts = append(parts, ports[i:i+1])
			}
		} else {
			parts = append(parts, ports[:length])
		}
		ports = ports[length:]
	}
	return parts
}

// continues reports whether a port follows another one and differs in nothing else.
func continues(port, next Port) bool {
	adjacent := next.Port == port.Port+1
	port.Port = next.Port
	return adjacent && reflect.DeepEqual(port, next)
}

// row describes ports that share a row.
func row(part []Port, charset terminal.Charset) []string {
	port := part[0]
	number := fmt.Sprint(port.Port)
	if len(part) > 1 {
		number += fmt.Sprintf("-%d", part[len(part)-1].Port)
	}
	counted, name := port.describe(), port.Name
	if before := port.Before; before != nil {
		if was := before.describe(); was != counted {
			counted += " (was " + was + ")"
		}
		if before.Name == "" && name != "" {
			name += " (had no name)"
		} else if before.Name != name {
			name = strings.TrimSpace(fmt.Sprintf("%s (was %q)", name, before.Name))
		}
	}
	return []string{marks[port.Change] + " " + number, counted, charset.Text(name), strings.Join(terminal.Texts(port.Sources), ", ")}
}

// renamed reports whether the port has another name than before.
func (p Port) renamed() bool {
	return p.Before != nil && p.Before.Name != "" && p.Name != "" && p.Before.Name != p.Name
}
