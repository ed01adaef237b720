package clients

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/spelling"
)

// ErrNoClient means that the file has no block of a name.
var ErrNoClient = errors.New("the file has no such client")

// TakenError means that a port is another client's. Inspect it with errors.As.
type TakenError struct {
	Port   uint16
	Client string // that has it
	Wanted string // the client that was to get it
}

// Error names the port, the client and what to do.
func (e *TakenError) Error() string {
	return fmt.Sprintf("port %d is %s's: if %s is another person, ssmonitor client new %d NAME gives it away; if it is the same one, "+
		"ssmonitor client rename OLD NEW keeps the history", e.Port, strconv.Quote(e.Client), strconv.Quote(e.Wanted), e.Port)
}

// Add gives ports to a client, whose block is appended if there is none. Specifications
// are those of the flag --port, without a name. What the client has already is no change,
// and what is in the block of no name moves. It fails with a *[TakenError] if another
// client has a port.
func Add(name string, specs ...string) Change {
	return Change{func(e *edit) error {
		items, err := parseItems(name, specs)
		if err != nil {
			return err
		}
		return e.add(name, items)
	}}
}

// Remove removes the ports from a client, or the client if no port is given or none would
// remain. It fails with ErrNoClient, or if the client does not have a port.
func Remove(name string, specs ...string) Change {
	return Change{func(e *edit) error {
		items, err := parseItems(name, specs)
		if err != nil {
			return err
		}
		i, err := e.find(name)
		if err != nil {
			return err
		}
		if len(specs) == 0 {
			e.removeBlock(i)
			return nil
		}
		gone := protocolsOf(items)
		for _, number := range sortedNumbers(gone) {
			if owner := e.doc.owners[number]; owner.block != e.doc.blocks[i] || gone[number]&^owner.protocols != 0 {
				return failure.Wrong(fmt.Errorf("port %d is not %q's: see what the file says of it", number, name))
			}
		}
		e.takeAway(i, gone)
		return nil
	}}
}

// Rename gives a client another name: it is the same person, whose history stays. The
// client also gets the ports that have its old name elsewhere and that no client has in the
// file: else they would keep that. If the file has a client of the new name, that one gets
// all of them. It fails with ErrNoClient if the old name is nowhere.
func Rename(old, name string, elsewhere ...string) Change {
	return Change{func(e *edit) error {
		items, err := parseItems(name, elsewhere)
		if err != nil {
			return err
		}
		i, err := e.find(old)
		into := e.index(name)
		switch {
		case name == "":
			return failure.Wrong(errors.New(`name "": want the new name of a client`))
		case err != nil && len(items) == 0:
			return err
		case old == name:
			return nil
		case err != nil:
			return e.add(name, items)
		case into >= 0:
			e.append(into, slices.Concat(e.doc.blocks[i].specs(), e.unowned(items)))
			e.removeBlock(i)
			return nil
		}
		e.rename(i, name)
		e.append(i, e.unowned(items))
		return nil
	}}
}

// Assign does what a port with a name says, as in setup --port 20000=alice: it adds the
// port, and a client with no other port than those that get another name is renamed. A
// port without a name keeps the client that it has.
func Assign(name string, specs ...string) Change {
	return Change{func(e *edit) error {
		items, err := parseItems(name, specs)
		if err != nil {
			return err
		}
		if name == "" {
			e.put("", e.unowned(items))
			return nil
		}
		numbers := protocolsOf(items)
		for i, b := range e.doc.blocks {
			if b.Name == "" || e.doc.find(name) != nil || len(b.items) == 0 {
				continue
			}
			if !slices.ContainsFunc(b.Ports, func(p accounting.Port) bool { return numbers[p.Number] == 0 }) {
				e.rename(i, name)
				return e.addTo(i, items)
			}
		}
		return e.add(name, items)
	}}
}

// Give gives a port to another client, whoever has it in the file. A port that the file
// does not have is added for the protocols.
func Give(number uint16, protocols accounting.Protocols, name string) Change {
	return Change{func(e *edit) error {
		if fault := nameFault(name); fault != "" {
			return failure.Wrong(fmt.Errorf("name %q: want %s", name, fault))
		}
		owner := e.doc.owners[number].block
		switch {
		case owner == nil:
			e.put(name, []string{portlist.FormatSpec(accounting.Port{Number: number, Protocols: protocols})})
		case owner.Name != name:
			var specs []string
			for _, item := range owner.items {
				specs = append(specs, item.without(func(other uint16) accounting.Protocols {
					if other == number {
						return 0
					}
					return accounting.TCPAndUDP
				})...)
			}
			e.takeAway(slices.Index(e.doc.blocks, owner), map[uint16]accounting.Protocols{number: accounting.TCPAndUDP})
			e.put(name, specs)
		}
		return nil
	}}
}

// add gives ports to the client of a name.
func (e *edit) add(name string, items []item) error {
	if i := e.index(name); i >= 0 {
		return e.addTo(i, items)
	}
	if err := e.checkTaken(nil, name, items); err != nil {
		return err
	}
	e.takeFromUnnamed(name, items)
	var specs []string
	for _, item := range items {
		specs = append(specs, item.spec)
	}
	e.appendBlock(name, specs)
	return nil
}

// put appends ports that no client has, or no longer, to the block of a name.
func (e *edit) put(name string, specs []string) {
	i := e.index(name)
	switch {
	case i >= 0:
		e.append(i, specs)
	case len(specs) > 0:
		e.appendBlock(name, specs)
	}
}

// addTo gives ports to the client of a block.
func (e *edit) addTo(i int, items []item) error {
	b := e.doc.blocks[i]
	if err := e.checkTaken(b, e.want[i].name, items); err != nil {
		return err
	}
	var missing []string
	for _, item := range items {
		missing = append(missing, item.without(func(number uint16) accounting.Protocols { return e.protocolsOf(b, number) })...)
		if err := b.hasTargets(item); err != nil {
			return err
		}
	}
	e.takeFromUnnamed(b.Name, items)
	e.append(i, missing)
	return nil
}

// checkTaken fails if another named client than that of the block has one of the ports.
func (e *edit) checkTaken(own *block, name string, items []item) error {
	for _, item := range items {
		for _, port := range item.ports {
			if other := e.doc.owners[port.Number].block; other != nil && other != own && other.Name != "" {
				return failure.Wrong(&TakenError{port.Number, other.Name, name})
			}
		}
	}
	return nil
}

// takeFromUnnamed takes from the block of no name the ports that a client of a name gets.
func (e *edit) takeFromUnnamed(name string, items []item) {
	if i := e.index(""); name != "" && i >= 0 {
		moved := make(map[uint16]accounting.Protocols)
		for number := range protocolsOf(items) {
			if e.doc.owners[number].block == e.doc.blocks[i] {
				moved[number] = accounting.TCPAndUDP
			}
		}
		if len(moved) > 0 {
			e.takeAway(i, moved)
		}
	}
}

// takeAway removes ports, which the block has, and the block with its last one.
func (e *edit) takeAway(i int, gone map[uint16]accounting.Protocols) {
	b := e.doc.blocks[i]
	next := make([][]string, len(b.items))
	remain := false
	for k, item := range b.items {
		next[k] = item.without(func(number uint16) accounting.Protocols { return gone[number] })
		remain = remain || len(next[k]) > 0
	}
	if remain {
		e.replaceItems(i, next)
		return
	}
	e.removeBlock(i)
}

// protocolsOf returns those for which the block has a port.
func (e *edit) protocolsOf(b *block, number uint16) accounting.Protocols {
	if owner := e.doc.owners[number]; owner.block == b {
		return owner.protocols
	}
	return 0
}

// unowned returns what no client has.
func (e *edit) unowned(items []item) (specs []string) {
	for _, item := range items {
		specs = append(specs, item.without(func(number uint16) accounting.Protocols {
			if e.doc.owners[number].block != nil {
				return accounting.TCPAndUDP
			}
			return 0
		})...)
	}
	return specs
}

// hasTargets fails if the block has a port of an item, but not its targets.
func (b *block) hasTargets(added item) error {
	for _, target := range added.targets {
		has := slices.ContainsFunc(b.Ports, func(p accounting.Port) bool { return p.Number == target.Port && p.Protocols.Has(target.Protocol) })
		if has && !slices.Contains(b.Targets, target) {
			return failure.Wrong(fmt.Errorf("port %d is %q's already, without %s: remove the port first", target.Port, b.Name, target))
		}
	}
	return nil
}

func (e *edit) index(name string) int {
	return slices.IndexFunc(e.doc.blocks, func(b *block) bool { return b.Name == name })
}

func (e *edit) find(name string) (int, error) {
	i := e.index(name)
	if i >= 0 {
		return i, nil
	}
	var known []string
	for _, b := range e.doc.blocks {
		known = append(known, b.Name)
	}
	return i, failure.Wrong(fmt.Errorf("client %q: %w%s", name, ErrNoClient, spelling.DidYouMean(spelling.Closest(name, known))))
}

// parseItems reads the specifications for a client.
func parseItems(name string, specs []string) (items []item, err error) {
	if fault := nameFault(name); name != "" && fault != "" {
		return nil, failure.Wrong(fmt.Errorf("name %q: want %s", name, fault))
	}
	for _, spec := range specs {
		if strings.Contains(spec, "=") {
			return nil, failure.Wrong(fmt.Errorf("port %q: want a port without a name, which is %q here", spec, name))
		}
		item, err := parseItem(name, spec)
		if err != nil {
			return nil, failure.Wrong(err)
		}
		items = append(items, item)
	}
	return items, nil
}

func protocolsOf(items []item) map[uint16]accounting.Protocols {
	protocols := make(map[uint16]accounting.Protocols)
	for _, item := range items {
		for _, port := range item.ports {
			protocols[port.Number] |= port.Protocols
		}
	}
	return protocols
}

func sortedNumbers(of map[uint16]accounting.Protocols) []uint16 {
	numbers := make([]uint16, 0, len(of))
	for number := range of {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers
}

// without returns the specifications of what remains without some protocols of ports: the
// item as it is if that is everything, and else ranges.
func (i item) without(gone func(number uint16) accounting.Protocols) (specs []string) {
	rest := make([]accounting.Port, 0, len(i.ports))
	for _, port := range i.ports {
		if port.Protocols &^= gone(port.Number); port.Protocols != 0 {
			rest = append(rest, port)
		}
	}
	if slices.Equal(rest, i.ports) {
		return []string{i.spec}
	}
	_, targets, found := strings.Cut(i.spec, "@")
	for len(rest) > 0 {
		first, last := rest[0], 0
		for last+1 < len(rest) && rest[last+1].Number == rest[last].Number+1 && rest[last+1].Protocols == first.Protocols {
			last++
		}
		spec := portlist.FormatSpec(accounting.Port{Number: first.Number, Protocols: first.Protocols})
		if last > 0 {
			number, protocol, limited := strings.Cut(spec, "/")
			spec = number + "-" + strconv.Itoa(int(rest[last].Number))
			if limited {
				spec += "/" + protocol
			}
		}
		if found {
			spec += "@" + targets
		}
		specs, rest = append(specs, spec), rest[last+1:]
	}
	return specs
}
