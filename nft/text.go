package nft

import (
	"bufio"
	"fmt"
	"io"

	"ssmonitor/accounting"
)

// WriteRuleset writes the table for ports as nft text, as nft itself would list
// it. Loaded with nft -f it counts the same, but has no epoch: the agent treats
// it as a saved ruleset and replaces it.
func WriteRuleset(w io.Writer, hook Hook, ports accounting.Ports) error {
	b := bufio.NewWriter(w)
	keys := ports.Keys()
	fmt.Fprintf(b, "table inet %s {\n\tcomment %q\n", TableName, Mark)
	for _, key := range keys {
		fmt.Fprintf(b, "\tcounter %s {\n\t\tpackets 0 bytes 0\n\t}\n\n", key)
	}
	for _, direction := range directions {
		fmt.Fprintf(b, "\tmap %s {\n\t\ttype inet_proto . inet_service : counter\n", mapName(direction))
		separator := "\t\telements = { "
		for _, key := range keys {
			if key.Direction == direction {
				fmt.Fprintf(b, "%s%s . %d : %q", separator, key.Protocol, key.Port, key)
				separator = ",\n\t\t\t     "
			}
		}
		if len(keys) > 0 {
			fmt.Fprint(b, " }\n")
		}
		fmt.Fprint(b, "\t}\n\n")
	}
	for i, c := range hook.with(ports).chains() {
		if i > 0 {
			fmt.Fprint(b, "\n")
		}
		fmt.Fprintf(b, "\tchain %s {\n\t\ttype filter hook %s priority %s; policy accept;\n\t\t%s\n\t}\n",
			c.name, c.hookText(), c.priorityText, c.ruleText())
	}
	fmt.Fprint(b, "}\n")
	return b.Flush()
}

func (c chain) hookText() string {
	if c.forwarded != 0 {
		return "forward"
	}
	return c.name
}

func (c chain) ruleText() string {
	if c.forwarded != 0 {
		direction := "original"
		if c.direction == accounting.Out {
			direction = "reply"
		}
		return fmt.Sprintf("meta l4proto %s ct status dnat ct direction %s counter name meta l4proto . ct original proto-dst map @%s accept",
			c.forwarded, direction, mapName(c.direction))
	}
	local, port := "", "dport"
	if c.direction == accounting.Out {
		port = "sport"
	}
	if c.fib != 0 {
		address := "daddr"
		if c.direction == accounting.Out {
			address = "saddr"
		}
		local = "fib " + address + " type local "
	}
	return fmt.Sprintf("%scounter name meta l4proto . th %s map @%s accept", local, port, mapName(c.direction))
}
