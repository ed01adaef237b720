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

// forwardElement is an element of a map of targets: it leads packets that the host
// forwards to the target, or from it, to the counter of the port. In a set of the host's
// addresses, only the address of the target is set.
type forwardElement struct {
	home   counterMap
	target accounting.Target
}

// counter returns the counter to which an element of a map leads.
func (f forwardElement) counter() accounting.Key {
	return accounting.Key{Port: f.target.Port, Protocol: f.target.Protocol, Direction: f.home.direction}
}

// key returns the element's key as the kernel holds it.
func (f forwardElement) key() []byte {
	key := f.target.Address.Addr().AsSlice()
	if f.home.addresses {
		return key
	}
	service := newElementKey(accounting.Key{Port: f.target.Address.Port(), Protocol: f.target.Protocol})
	return append(key, service[:]...)
}

// parseForwardElement is the inverse of key and counter. ok is false if the
// element is not one of ours.
func parseForwardElement(m counterMap, key []byte, counter accounting.Key) (f forwardElement, ok bool) {
	length := addressLength(m.family)
	if len(key) < length {
		return f, false
	}
	address, _ := netip.AddrFromSlice(key[:length])
	f = forwardElement{m, accounting.Target{Address: netip.AddrPortFrom(address, 0)}}
	if m.addresses {
		return f, true
	}
	service, ok := parseElementKey(key[length:], m.direction)
	if !ok || service.Protocol != counter.Protocol || service.Direction != counter.Direction || address.Is4In6() {
		return f, false
	}
	f.target = accounting.Target{Protocol: service.Protocol, Address: netip.AddrPortFrom(address, service.Port), Port: counter.Port}
	return f, true
}

// elements returns what the maps of targets and the sets of addresses should have.
func (l *layout) elements(forwarding accounting.Forwarding) (elements []forwardElement) {
	add := func(target accounting.Target, addresses bool) {
		for _, m := range l.maps {
			if m.addresses == addresses && addressLength(m.family) == target.Address.Addr().BitLen()/8 {
				elements = append(elements, forwardElement{m, target})
			}
		}
	}
	for _, target := range forwarding.Targets {
		add(target, false)
	}
	for _, address := range forwarding.Addresses {
		add(accounting.Target{Address: netip.AddrPortFrom(address, 0)}, true)
	}
	return elements
}

// String describes the element as in tcp 172.17.0.2:8388 in (port 20000), or by its
// address.
func (f forwardElement) String() string {
	if f.home.addresses {
		return f.target.Address.Addr().String()
	}
	return fmt.Sprintf("%s %s (port %d)", f.target, f.home.direction, f.target.Port)
}

// SetForwarding sets what is counted where the host forwards packets. [Table.Install]
// installs it for the ports that it is called with, and [Table.Verify] compares it.
// Until SetForwarding is called both leave whatever is counted at forward as it is.
// A hook other than HookHost counts nothing there.
func (t *Table) SetForwarding(forwarding accounting.Forwarding) {
	if t.layout.undecided || !t.forwarding.Equal(forwarding) {
		t.known.verified = false
	}
	t.forwarding = forwarding
	t.layout = t.options.Hook.layout(forwarding)
	t.forwardElements = t.layout.elements(forwarding)
}

// Targets returns the targets that the table counts, in no particular order.
func (t *Table) Targets() ([]accounting.Target, error) {
	found, err := t.inspectMaps(forwardMaps)
	if err != nil {
		return nil, err
	}
	var targets []accounting.Target
	for element := range found.forwarded {
		if element.home.direction == accounting.In {
			targets = append(targets, element.target)
		}
	}
	return targets, nil
}

// targetsOf returns the elements of the targets of keys, which are sorted.
func (t *Table) targetsOf(keys []accounting.Key) (elements []forwardElement) {
	for _, f := range t.forwardElements {
		if _, wanted := slices.BinarySearchFunc(keys, f.counter(), accounting.Key.Compare); wanted && !f.home.addresses {
			elements = append(elements, f)
		}
	}
	return elements
}

// hostAddresses returns the elements of the sets of the host's addresses.
func (t *Table) hostAddresses() (elements []forwardElement) {
	for _, f := range t.forwardElements {
		if f.home.addresses {
			elements = append(elements, f)
		}
	}
	return elements
}

// superfluous returns the elements that no target and no address of the host has.
func (t *Table) superfluous(found *inspection) (targets, addresses []forwardElement) {
	if t.layout.undecided {
		return nil, nil
	}
	ours := make(map[forwardElement]bool, len(t.forwardElements))
	for _, f := range t.forwardElements {
		ours[f] = true
	}
	for f := range found.forwarded {
		switch {
		case ours[f]:
		case f.home.addresses:
			addresses = append(addresses, f)
		default:
			targets = append(targets, f)
		}
	}
	return targets, addresses
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

// detachTargets removes the elements that lead to the counters of keys from the
// maps of targets.
func (t *Table) detachTargets(keys []accounting.Key) (err error) {
	var removed accounting.KeyMap[bool]
	for _, key := range keys {
		*removed.At(key) = true
	}
	leadsToRemoved := func(f forwardElement) bool { return !f.home.addresses && removed.Get(f.counter()) }
	if !t.layout.undecided && !slices.ContainsFunc(t.forwardElements, leadsToRemoved) {
		return nil
	}
	for range attempts {
		found, lookErr := t.inspectMaps(forwardMaps)
		if lookErr != nil {
			return lookErr
		}
		var elements []forwardElement
		for element := range found.forwarded {
			if leadsToRemoved(element) {
				elements = append(elements, element)
			}
		}
		if err = t.removeTargets(elements); !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return err
}

// removeTargets removes elements from the maps of targets.
func (t *Table) removeTargets(elements []forwardElement) error {
	for part := range slices.Chunk(elements, t.removalLength()) {
		b := newBatch()
		for _, element := range part {
			b.deleteElement(element.home, element.key(), false)
		}
		if err := t.commit(b); err != nil {
			return err
		}
	}
	return nil
}
