package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// forwardElement is an element of a map of targets: it leads packets that the host
// forwards to the target, or from it, to the counter of the port. In a set of the host's
// addresses, only the address of the target is set.
type forwardElement struct {
	home   tableSet
	target accounting.Target
}

func hostElement(set tableSet, address netip.Addr) forwardElement {
	return forwardElement{set, accounting.Target{Address: netip.AddrPortFrom(address, 0)}}
}

// counter returns the counter to which an element of a map leads.
func (f forwardElement) counter() accounting.Key {
	return accounting.Key{Port: f.target.Port, Protocol: f.target.Protocol, Direction: f.home.direction}
}

// key returns the element's key as the kernel holds it.
func (f forwardElement) key() []byte {
	key := f.target.Address.Addr().AsSlice()
	if f.home.kind == hostAddresses {
		return key
	}
	service := newElementKey(accounting.Key{Port: f.target.Address.Port(), Protocol: f.target.Protocol})
	return append(key, service[:]...)
}

// parseForwardElement is the inverse of key and counter. ok is false if the
// element is not one of ours.
func parseForwardElement(m tableSet, key []byte, counter accounting.Key) (f forwardElement, ok bool) {
	length := m.family.length
	if len(key) < length {
		return f, false
	}
	address, _ := netip.AddrFromSlice(key[:length])
	if m.kind == hostAddresses {
		return hostElement(m, address), true
	}
	service, ok := parseElementKey(key[length:], m.direction)
	if !ok || service.Protocol != counter.Protocol || service.Direction != counter.Direction || address.Is4In6() {
		return f, false
	}
	target := accounting.Target{Protocol: service.Protocol, Address: netip.AddrPortFrom(address, service.Port), Port: counter.Port}
	return forwardElement{m, target}, true
}

// targetsOf returns the elements of the targets of keys, which are sorted.
func (l *layout) targetsOf(keys []accounting.Key) (elements []forwardElement) {
	for _, f := range l.targets {
		if _, wanted := slices.BinarySearchFunc(keys, f.counter(), accounting.Key.Compare); wanted {
			elements = append(elements, f)
		}
	}
	return elements
}

// String describes the element as in tcp 172.17.0.2:8388 in (port 20000), or by its
// address.
func (f forwardElement) String() string {
	if f.home.kind == hostAddresses {
		return f.target.Address.Addr().String()
	}
	return fmt.Sprintf("%s %s (port %d)", f.target, f.home.direction, f.target.Port)
}

// SetForwarding sets what is counted where the host forwards packets. [Table.Install]
// installs it for the ports that it is called with, and [Table.Verify] compares it.
// Both leave whatever is counted at forward as it is while that is not known, which is
// so until SetForwarding is called. A hook that does not count what is forwarded counts
// nothing there.
func (t *Table) SetForwarding(forwarding accounting.Forwarding) {
	if !t.forwarding.Equal(forwarding) {
		t.known.noLongerRight()
	}
	t.forwarding = forwarding
	t.layout = t.options.Hook.layout(forwarding)
}

// Targets returns the targets that the table counts, in no particular order.
func (t *Table) Targets() (targets []accounting.Target, err error) {
	found := &inspection{}
	err = t.conn.inspectSets(found, forwardMaps)
	for element := range found.forwarded {
		if element.home.direction == accounting.In {
			targets = append(targets, element.target)
		}
	}
	return targets, err
}

// describeElements names the first few elements and how many more there are, in the
// same way for the same elements: Verify compares two looks.
func describeElements(elements []forwardElement) string {
	const most = 4
	names := make([]string, len(elements))
	for i, element := range elements {
		names[i] = element.String()
	}
	slices.Sort(names)
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}
