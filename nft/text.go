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
		fmt.Fprintf(b, "\tchain %s {\n\t\ttype filter hook %s priority %s; policy accept;\n", c.name, c.hookText, c.priorityText)
		for _, r := range c.rules {
			fmt.Fprintf(b, "\t\t%s\n", r)
		}
		fmt.Fprint(b, "\t}\n")
	}
	fmt.Fprint(b, "}\n")
	return b.Flush()
}
