package survey

import (
	"cmp"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
)

// maxTargets bounds the addresses among which a translation chooses.
const maxTargets = 256

// translated collects what becomes of packets.
type translated struct {
	host    []netip.Addr // that clients can send to
	keys    []fate
	packets map[fate][]packet
	reached map[fate]map[netip.Addr]portSet // to which destinations packets go, and to which ports there
}

func newTranslated(host Host) *translated {
	return &translated{
		host:    slices.Concat(host.addresses(true), host.addresses(false)),
		packets: make(map[fate][]packet),
		reached: make(map[fate]map[netip.Addr]portSet),
	}
}

// fate is what a rule makes of packets.
type fate struct {
	place    Place
	protocol accounting.Protocol
	result
}

// add adds what a rule in a chain makes of packets.
func (t *translated) add(c *chain, p packet, r result) {
	key := fate{c.place, p.protocol, r}
	switch {
	case r.reason == "" && p.doubts&unsetMark != 0:
		key.reason = "the packets have a mark that no rule sets"
	case r.reason == "" && len(addressesOf(r.to)) == 0:
		key.reason = "the new address is one of too many"
	}
	if t.packets[key] == nil {
		t.keys, t.reached[key] = append(t.keys, key), make(map[netip.Addr]portSet)
	}
	for _, address := range p.addresses {
		t.reached[key][address] = newPortSet(slices.Concat(t.reached[key][address], p.ports))
	}
	p.mark, p.connMark, p.byMark, p.addresses = [4]cell{}, [4]cell{}, demands{}, nil
	t.packets[key] = append(t.packets[key], p)
}

// leavesOut reports whether addresses of this host are left out of those, of the same
// family, whose packets to ports have a fate.
func (t *translated) leavesOut(key fate, ports PortRange) bool {
	reached := t.reached[key]
	return slices.ContainsFunc(t.host, func(address netip.Addr) bool {
		for other := range reached {
			if other.Is4() == address.Is4() {
				return len(ports.minus(reached[address])) > 0
			}
		}
		return false
	})
}

// report adds to a survey what was collected, with an entry for each range of
// ports, in order.
func (t *translated) report(s *Survey) {
	for _, key := range t.keys {
		for _, p := range mergePackets(t.packets[key]) {
			if key.reason == "" {
				s.Translations = append(s.Translations, key.translations(p, func(ports PortRange) bool { return t.leavesOut(key, ports) && !p.toNetwork })...)
			}
			for _, ports := range p.ports {
				if key.reason != "" {
					s.Unresolved = append(s.Unresolved, Unresolved{key.place, key.protocol, ports, key.reason, key.reason == rewritten})
				}
			}
		}
	}
	slices.SortStableFunc(s.Translations, func(a, b Translation) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.Ports.compare(b.Ports), a.Target.Compare(b.Target))
	})
	slices.SortStableFunc(s.Unresolved, func(a, b Unresolved) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.Ports.compare(b.Ports))
	})
	s.Unresolved = slices.Compact(s.Unresolved) // of packets that differ in what is not reported
}

func (r PortRange) compare(other PortRange) int {
	return cmp.Or(cmp.Compare(r.First, other.First), cmp.Compare(r.Last, other.Last))
}

// translations returns what becomes of packets, with an entry for each new address
// and each range of ports.
func (f fate) translations(p packet, leavesOut func(PortRange) bool) (all []Translation) {
	found := Translation{
		Place: f.place, Protocol: f.protocol, Incoming: slices.Sorted(slices.Values(p.interfaces)), Excluded: slices.Sorted(slices.Values(p.excluded)),
		Sources: slices.SortedFunc(slices.Values(p.sources), netip.Prefix.Compare), SourceSets: p.sourceSets, UnknownSender: p.doubts&unknownSender != 0, LocalOnly: p.toHost,
	}
	for _, address := range addressesOf(f.to) {
		for _, mapped := range f.to.mapPorts(p.ports) {
			found.LeavesOut = leavesOut(mapped.ports)
			found.Ports, found.Target, found.LastTargetPort = mapped.ports, netip.AddrPortFrom(address, mapped.first), mapped.last
			all = append(all, found)
		}
	}
	return all
}

// mappedPorts is what a translation makes of ports. The last one is 0 if there is
// no choice.
type mappedPorts struct {
	ports       PortRange
	first, last uint16
}

func (to destination) mapPorts(ports portSet) (mapped []mappedPorts) {
	to.firstPort, to.lastPort = min(to.firstPort, to.lastPort), max(to.firstPort, to.lastPort) // as the kernel does
	for _, r := range ports {
		switch {
		case to.shifted:
			mapped = append(mapped, to.shift(r)...)
		case to.lastPort == to.firstPort:
			mapped = append(mapped, mappedPorts{r, to.firstPort, 0})
		default:
			mapped = append(mapped, mappedPorts{r, to.firstPort, to.lastPort})
		}
	}
	return mapped
}

// shift returns the new port of each. As in the kernel, a port below the base is far
// above it.
func (to destination) shift(r PortRange) (mapped []mappedPorts) {
	size := int(to.lastPort-to.firstPort) + 1
	for port := int(r.First); port <= int(r.Last); port++ {
		offset := int(uint16(port)-to.basePort) % size
		mapped = append(mapped, mappedPorts{PortRange{uint16(port), uint16(port)}, to.firstPort + uint16(offset), 0})
	}
	return mapped
}

// addressesOf returns the addresses that a translation chooses from; the zero Addr
// if the address stays or is this host's.
func addressesOf(to destination) (addresses []netip.Addr) {
	for address := to.first; len(addresses) < maxTargets; address = address.Next() {
		addresses = append(addresses, address)
		if address == to.last {
			return addresses
		}
	}
	return nil
}
