package survey

import (
	"cmp"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
)

// maxTargets bounds the addresses among which a translation chooses.
const maxTargets = 256

// fates collects what becomes of packets.
type fates struct {
	host    []netip.Addr // that clients can send to
	keys    []fate
	packets map[fate][]packet
	reached map[fate]map[netip.Addr]portSet // to which destinations packets go, and to which ports there
}

// reportTranslations adds to a survey what becomes of packets to a host.
func (r *ruleset) reportTranslations(host Host, survey *Survey) {
	collected := &fates{
		host:    slices.Concat(host.addresses(true), host.addresses(false)),
		packets: make(map[fate][]packet),
		reached: make(map[fate]map[netip.Addr]portSet),
	}
	r.translations(host, collected.add)
	collected.addTo(survey)
}

// fate is what a rule makes of packets.
type fate struct {
	place    Place
	protocol accounting.Protocol
	result
}

// add adds what a rule in a chain makes of packets.
func (f *fates) add(c *chain, p packet, r result) {
	key := fate{c.place, p.protocol, r}
	switch {
	case r.reason == "" && p.doubts&unsetMark != 0:
		key.reason = "the packets have a mark that no rule sets"
	case r.reason == "" && len(addressesOf(r.to)) == 0:
		key.reason = "the new address is one of too many"
	}
	if f.packets[key] == nil {
		f.keys, f.reached[key] = append(f.keys, key), make(map[netip.Addr]portSet)
	}
	for _, address := range p.addresses {
		f.reached[key][address] = newPortSet(slices.Concat(f.reached[key][address], p.ports))
	}
	p.mark, p.connMark, p.byMark, p.addresses = [4]cell{}, [4]cell{}, demands{}, nil
	f.packets[key] = append(f.packets[key], p)
}

// leavesOut reports whether some address of this host, of the same family, does not share
// this fate for the ports.
func (f *fates) leavesOut(key fate, ports PortRange) bool {
	reached := f.reached[key]
	return slices.ContainsFunc(f.host, func(address netip.Addr) bool {
		for other := range reached {
			if other.Is4() == address.Is4() {
				return len(ports.minus(reached[address])) > 0
			}
		}
		return false
	})
}

// addTo adds to a survey what was collected, with an entry for each range of
// ports, in order.
func (f *fates) addTo(s *Survey) {
	for _, key := range f.keys {
		for _, p := range mergePackets(f.packets[key]) {
			if key.reason == "" {
				s.Translations = append(s.Translations, f.translations(key, p)...)
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
func (f *fates) translations(of fate, p packet) (all []Translation) {
	found := Translation{
		Place: of.place, Protocol: of.protocol, Incoming: slices.Sorted(slices.Values(p.interfaces)), Excluded: slices.Sorted(slices.Values(p.excluded)),
		Sources: slices.SortedFunc(slices.Values(p.sources), netip.Prefix.Compare), SourceSets: p.sourceSets, UnknownSender: p.doubts&unknownSender != 0, LocalOnly: p.toHost,
	}
	for _, address := range addressesOf(of.to) {
		for _, ports := range of.to.alike(p.ports) {
			first, last := of.to.newPorts(ports.First)
			found.Ports, found.LeavesOut = ports, f.leavesOut(of, ports) && !p.toNetwork
			found.Target, found.LastTargetPort = netip.AddrPortFrom(address, first), last
			all = append(all, found)
		}
	}
	return all
}

// alike divides ports into ranges whose ports all have the same new port.
func (to destination) alike(ports portSet) (divided []PortRange) {
	if !to.shifted {
		return ports
	}
	for _, r := range ports {
		for port := int(r.First); port <= int(r.Last); port++ {
			divided = append(divided, PortRange{uint16(port), uint16(port)})
		}
	}
	return divided
}

// newPorts returns what becomes of a port: one of those from first to last. last is 0
// if there is no choice. As in the kernel, a port below the base is far above it.
func (to destination) newPorts(port uint16) (first, last uint16) {
	first, last = min(to.firstPort, to.lastPort), max(to.firstPort, to.lastPort) // as the kernel does
	switch {
	case to.shifted:
		offset := int(port-to.basePort) % (int(last-first) + 1)
		return first + uint16(offset), 0
	case first == last:
		return first, 0
	}
	return first, last
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
