package nft

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// WriteRuleset writes the table for ports, and for what is forwarded, as nft text,
// as nft itself would list it. Loaded with nft -f it counts the same, but has no epoch: the agent
// treats it as a saved ruleset and replaces it.
func WriteRuleset(w io.Writer, hook Hook, ports accounting.Ports, forwarding accounting.Forwarding) error {
	l := hook.layout(forwarding)
	b := bufio.NewWriter(w)
	keys := ports.Keys()
	fmt.Fprintf(b, "table inet %s {\n\tcomment %q\n", TableName, tableComment)
	for _, key := range keys {
		fmt.Fprintf(b, "\tcounter %s {\n\t\tpackets 0 bytes 0\n\t}\n\n", key)
	}
	for _, m := range l.sets {
		kind, keyType := m.text()
		fmt.Fprintf(b, "\t%s %s {\n\t\ttype %s\n", kind, m.name, keyType)
		if elements := m.elementTexts(keys, slices.Concat(l.targets, l.addresses)); len(elements) > 0 {
			fmt.Fprintf(b, "\t\telements = { %s }\n", strings.Join(elements, ",\n\t\t\t     "))
		}
		fmt.Fprint(b, "\t}\n\n")
	}
	for i, c := range l.chains {
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

// elementTexts returns the elements of the map as nft lists them.
func (m tableSet) elementTexts(keys []accounting.Key, forwarded []forwardElement) (texts []string) {
	for _, key := range keys {
		if m.kind == portCounters && key.Direction == m.direction {
			texts = append(texts, fmt.Sprintf("%s . %d : %q", key.Protocol, key.Port, key))
		}
	}
	for _, f := range forwarded {
		address := f.target.Address
		switch {
		case f.home != m:
		case m.kind == hostAddresses:
			texts = append(texts, address.Addr().String())
		default:
			texts = append(texts, fmt.Sprintf("%s . %s . %d : %q", address.Addr(), f.target.Protocol, address.Port(), f.counter()))
		}
	}
	return texts
}
