package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// forwardElement is an element of a map of targets: it leads packets of a direction
// that the host forwards to a target, or from it, to the counter of the port.
type forwardElement struct {
	target    accounting.Target
	direction accounting.Direction
}

// counter returns the counter to which the element leads.
func (f forwardElement) counter() accounting.Key {
	return accounting.Key{Port: f.target.Port, Protocol: f.target.Protocol, Direction: f.direction}
}

// home returns the map in which the element is.
func (f forwardElement) home() counterMap {
	family := byte(unix.NFPROTO_IPV6)
	if f.target.Address.Addr().Is4() {
		family = unix.NFPROTO_IPV4
	}
	i := slices.IndexFunc(forwardMaps[:], func(m counterMap) bool { return m.family == family && m.direction == f.direction })
	return forwardMaps[i]
}

// key returns the element's key as the kernel holds it.
func (f forwardElement) key() []byte {
	service := newElementKey(accounting.Key{Port: f.target.Address.Port(), Protocol: f.target.Protocol})
	return append(f.target.Address.Addr().AsSlice(), service[:]...)
}

// parseForwardElement is the inverse of key and counter. ok is false if the
// element is not one of ours.
func parseForwardElement(m counterMap, key []byte, counter accounting.Key) (f forwardElement, ok bool) {
	length := addressLength(m.family)
	if len(key) < length {
		return f, false
	}
	address, _ := netip.AddrFromSlice(key[:length])
	service, ok := parseElementKey(key[length:], m.direction)
	if !ok || service.Protocol != counter.Protocol || service.Direction != counter.Direction || address.Is4In6() {
		return f, false
	}
	return forwardElement{
		target:    accounting.Target{Protocol: service.Protocol, Address: netip.AddrPortFrom(address, service.Port), Port: counter.Port},
		direction: m.direction,
	}, true
}

// elementsOf returns the elements of the targets, both directions of each.
func elementsOf(targets []accounting.Target) []forwardElement {
	elements := make([]forwardElement, 0, 2*len(targets))
	for _, target := range targets {
		for _, direction := range directions {
			elements = append(elements, forwardElement{target, direction})
		}
	}
	return elements
}

// SetForwarding sets what is counted where the host forwards packets. [Table.Install]
// installs it for the ports that it is called with, and [Table.Verify] compares it.
// Until SetForwarding is called both leave whatever is counted at forward as it is.
// A hook other than HookHost counts nothing there.
func (t *Table) SetForwarding(forwarding accounting.Forwarding) {
	before, same := t.hook, t.forwarding.Equal(forwarding)
	t.forwarding, t.decided = forwarding, true
	t.forwarding.Targets = slices.Clone(forwarding.Targets) // Detach changes them
	t.setHook()
	if !same || t.hook != before {
		t.verified.known = false
	}
}

// Targets returns the targets that the table counts, in no particular order.
func (t *Table) Targets() ([]accounting.Target, error) {
	found := &inspection{}
	if err := errors.Join(t.conn.inspectSets(found), t.conn.inspectElements(found, forwardMaps[:])); err != nil {
		return nil, err
	}
	var targets []accounting.Target
	for element := range found.forwarded {
		if element.direction == accounting.In {
			targets = append(targets, element.target)
		}
	}
	return targets, nil
}

// forwards reports whether the table counts at forward.
func (t *Table) forwards() bool { return t.hook == hookPublished || t.hook == hookRedirected }

// wanted returns the elements of the targets of keys, which are sorted.
func (t *Table) wanted(keys []accounting.Key) []forwardElement {
	if !t.forwards() {
		return nil
	}
	return slices.DeleteFunc(elementsOf(t.forwarding.Targets), func(f forwardElement) bool {
		_, found := slices.BinarySearchFunc(keys, f.counter(), accounting.Key.Compare)
		return !found
	})
}

// superfluous returns the elements that lead from no target of ours.
func (t *Table) superfluous(found *inspection) (elements []forwardElement) {
	if t.hook == hookUndecided {
		return nil
	}
	ours := make(map[accounting.Target]bool)
	if t.forwards() {
		for _, target := range t.forwarding.Targets {
			ours[target] = true
		}
	}
	for element := range found.forwarded {
		if !ours[element.target] {
			elements = append(elements, element)
		}
	}
	return elements
}

// lacking returns the elements that were not found.
func (found *inspection) lacking(elements []forwardElement) []forwardElement {
	return slices.DeleteFunc(slices.Clone(elements), func(f forwardElement) bool { return found.forwarded[f] })
}

// addresses returns the addresses that the sets of the host's addresses should have.
func (t *Table) addresses() []netip.Addr {
	if t.hook != hookRedirected {
		return nil
	}
	return t.forwarding.Addresses
}

// changedAddresses returns the addresses that the sets lack, and those that they
// should not have.
func (t *Table) changedAddresses(found *inspection) (missing, extra []netip.Addr) {
	for _, address := range t.addresses() {
		if !found.addresses[address] {
			missing = append(missing, address)
		}
	}
	for address := range found.addresses {
		if t.hook != hookUndecided && !slices.Contains(t.addresses(), address) {
			extra = append(extra, address)
		}
	}
	slices.SortFunc(extra, netip.Addr.Compare)
	return missing, extra
}

// driftOfForwarding compares what is counted at forward.
func (t *Table) driftOfForwarding(found *inspection, keys []accounting.Key) (findings []string) {
	if lost := found.lacking(t.wanted(keys)); len(lost) > 0 {
		findings = append(findings, "not counting at forward: "+describeElements(lost))
	}
	if extra := t.superfluous(found); len(extra) > 0 {
		findings = append(findings, "counting at forward what does not belong here: "+describeElements(extra))
	}
	missing, extra := t.changedAddresses(found)
	if len(missing) > 0 {
		findings = append(findings, "the sets of this host's addresses lack "+describeAddresses(missing))
	}
	if len(extra) > 0 {
		findings = append(findings, "the sets of this host's addresses have too many: "+describeAddresses(extra))
	}
	return findings
}

// describeElements names the first few elements and how many there are, in the same
// way for the same elements: Verify compares two looks.
func describeElements(elements []forwardElement) string {
	names := make([]string, len(elements))
	for i, element := range elements {
		names[i] = element.String()
	}
	slices.Sort(names)
	return firstOf(names)
}

func describeAddresses(addresses []netip.Addr) string {
	names := make([]string, len(addresses))
	for i, address := range addresses {
		names[i] = address.String()
	}
	return firstOf(names)
}

// firstOf names the first few and how many more there are.
func firstOf(names []string) string {
	const most = 4
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// String describes the element as in tcp 172.17.0.2:8388 in (port 20000).
func (f forwardElement) String() string {
	return fmt.Sprintf("%s %s %s (port %d)", f.target.Protocol, f.target.Address, f.direction, f.target.Port)
}

// detachTargets removes the elements that lead to the counters of keys from the
// maps of targets.
func (t *Table) detachTargets(keys []accounting.Key) (err error) {
	var removed accounting.KeyMap[bool]
	for _, key := range keys {
		*removed.At(key) = true
	}
	targets := &t.forwarding.Targets
	before := len(*targets)
	*targets = slices.DeleteFunc(*targets, func(target accounting.Target) bool {
		return removed.Get(forwardElement{target, accounting.In}.counter())
	})
	if t.hook != hookUndecided && len(*targets) == before {
		return nil
	}
	for range attempts {
		found := &inspection{}
		if err := errors.Join(t.conn.inspectSets(found), t.conn.inspectElements(found, forwardMaps[:])); err != nil {
			return err
		}
		var elements []forwardElement
		for element := range found.forwarded {
			if removed.Get(element.counter()) {
				elements = append(elements, element)
			}
		}
		if err = t.removeElements(elements); !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return err
}

// removeElements removes elements from the maps of targets.
func (t *Table) removeElements(elements []forwardElement) error {
	for part := range slices.Chunk(elements, min(keysPerBatch, t.keysPerPart)) {
		b := newBatch()
		for _, element := range part {
			b.deleteElement(element.home(), element.key(), false)
		}
		if err := t.commit(b); err != nil {
			return err
		}
	}
	return nil
}
