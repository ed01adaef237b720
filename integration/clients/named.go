package clients

import (
	"fmt"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/failure"
)

// named are specifications of ports that belong to one name.
type named struct {
	name  string
	specs []string
}

// byName groups specifications as in the flag --port, which may end with =NAME.
func byName(specs []string) (groups []named) {
	known := make(map[string]int)
	for _, spec := range specs {
		spec, name, _ := strings.Cut(spec, "=")
		name = strings.TrimSpace(name)
		i, found := known[name]
		if !found {
			i = len(groups)
			known[name] = i
			groups = append(groups, named{name: name})
		}
		groups[i].specs = append(groups[i].specs, strings.TrimSpace(spec))
	}
	return groups
}

// AssignAll does what all of the specifications say, each as in the flag --port: see
// [Assign].
func AssignAll(specs ...string) (changes []Change) {
	for _, group := range byName(specs) {
		changes = append(changes, retarget(group.name, group.specs), Assign(group.name, group.specs...))
	}
	return changes
}

// retarget takes from a client the ports that are given to it again with other targets.
func retarget(name string, specs []string) Change {
	return Change{func(e *edit) error {
		items, err := parseItems(name, specs)
		if err != nil {
			return err
		}
		gone := make(map[*block]map[uint16]accounting.Protocols)
		for i, item := range items {
			for number := range protocolsOf(items[i : i+1]) {
				owner := e.doc.owners[number].block
				if owner == nil || owner.hasTargets(item) == nil {
					continue
				}
				if owner.Name != name {
					return failure.Wrong(fmt.Errorf("port %d is %q's: name the client with its port, as in --port %d@ADDRESS=NAME", number, owner.Name, number))
				}
				if gone[owner] == nil {
					gone[owner] = make(map[uint16]accounting.Protocols)
				}
				gone[owner][number] = accounting.TCPAndUDP
			}
		}
		for i, b := range e.doc.blocks {
			if gone[b] != nil {
				e.takeAway(i, gone[b])
			}
		}
		return nil
	}}
}

// maxBlocks is the most blocks that are shown in a line.
const maxBlocks = 8

// Blocks returns, in a line, the blocks to write for specifications as in the flag --port.
func Blocks(specs ...string) string {
	groups := byName(specs)
	var blocks []string
	for _, group := range groups[:min(len(groups), maxBlocks)] {
		blocks = append(blocks, wanted{name: group.name, specs: group.specs}.line())
	}
	if more := len(groups) - maxBlocks; more > 0 {
		blocks = append(blocks, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(blocks, "; ")
}
