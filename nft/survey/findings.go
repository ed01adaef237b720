package survey

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
)

// maxTargets bounds the addresses among which a translation chooses.
const maxTargets = 256

// translated collects what becomes of packets, by all but their ports.
type translated struct {
	ports map[string]portSet
	found map[string]Translation
	open  map[string]Unresolved
}

func newTranslated() *translated {
	return &translated{make(map[string]portSet), make(map[string]Translation), make(map[string]Unresolved)}
}

// add adds the result of a rule in a chain.
func (t *translated) add(c *chain, r result) {
	if r.packet.foreign && r.reason == "" {
		r.reason = "the packets have a mark that no rule sets"
	}
	if r.reason == "" && len(addressesOf(r.to)) == 0 {
		r.reason = "the new address is one of too many"
	}
	if r.reason != "" {
		t.unresolved(Unresolved{Place: c.place, Protocol: r.packet.protocol, Reason: r.reason}, r.packet.ports)
		return
	}
	found := Translation{
		Place: c.place, Protocol: r.packet.protocol, Incoming: slices.Clone(r.packet.interfaces), Sources: slices.Clone(r.packet.sources),
		SourceSets: slices.Clone(r.packet.sourceSets), LocalOnly: r.packet.toHost, Maybe: r.packet.uncertain,
	}
	slices.Sort(found.Incoming)
	slices.SortFunc(found.Sources, func(a, b netip.Prefix) int { return cmp.Compare(a.String(), b.String()) })
	slices.Sort(found.SourceSets)
	for _, address := range addressesOf(r.to) {
		t.target(found, address, r.to, r.packet.ports)
	}
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

// target adds a translation to one address.
func (t *translated) target(found Translation, address netip.Addr, to destination, ports portSet) {
	if !to.shifted {
		found.Target = netip.AddrPortFrom(address, to.firstPort)
		if to.lastPort != to.firstPort {
			found.LastTargetPort = to.lastPort
		}
		t.translation(found, ports)
		return
	}
	size := int(to.lastPort) - int(to.firstPort) + 1
	for _, r := range ports {
		for port := int(r.First); port <= int(r.Last); port++ {
			offset := ((port-int(to.basePort))%size + size) % size
			found.Target = netip.AddrPortFrom(address, to.firstPort+uint16(offset))
			t.translation(found, portSet{{uint16(port), uint16(port)}})
		}
	}
}

func (t *translated) translation(found Translation, ports portSet) {
	key := fmt.Sprint(found)
	t.found[key] = found
	t.ports[key] = newPortSet(slices.Concat(t.ports[key], ports))
}

func (t *translated) unresolved(found Unresolved, ports portSet) {
	key := fmt.Sprint(found)
	t.open[key] = found
	t.ports[key] = newPortSet(slices.Concat(t.ports[key], ports))
}

// translations returns the translations in order. One for each range of ports.
func (t *translated) translations() (all []Translation) {
	for key, found := range t.found {
		ports := t.ports[key]
		for other, more := range t.found {
			if other != key && more.includes(found) {
				ports = ports.minus(t.ports[other])
			}
		}
		for _, found.Ports = range ports {
			all = append(all, found)
		}
	}
	slices.SortFunc(all, func(a, b Translation) int {
		return cmp.Or(order(a.Place, b.Place, a.Protocol, b.Protocol, a.Ports, b.Ports), a.Target.Compare(b.Target), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	return all
}

// includes reports whether t says the same of a port as other, with fewer
// conditions.
func (t Translation) includes(other Translation) bool {
	bare := other
	bare.LocalOnly, bare.Maybe = t.LocalOnly, t.Maybe
	if len(t.Incoming)+len(t.Sources)+len(t.SourceSets) == 0 {
		bare.Incoming, bare.Sources, bare.SourceSets = t.Incoming, t.Sources, t.SourceSets
	}
	return fmt.Sprint(t) == fmt.Sprint(bare) && (!t.Maybe || other.Maybe) && (!t.LocalOnly || other.LocalOnly)
}

// unresolvedPorts returns what is not understood, in order.
func (t *translated) unresolvedPorts() (all []Unresolved) {
	for key, found := range t.open {
		for _, found.Ports = range t.ports[key] {
			all = append(all, found)
		}
	}
	slices.SortFunc(all, func(a, b Unresolved) int {
		return cmp.Or(order(a.Place, b.Place, a.Protocol, b.Protocol, a.Ports, b.Ports), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

func order(a, b Place, p, q accounting.Protocol, r, s PortRange) int {
	return cmp.Or(cmp.Compare(a.String(), b.String()), cmp.Compare(p, q), cmp.Compare(r.First, s.First), cmp.Compare(r.Last, s.Last))
}
