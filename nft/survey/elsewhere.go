package survey

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
)

// maxDestinations bounds the addresses that are looked at: a host that translates for
// thousands of others balances load, and each takes time at each rule. It also bounds
// the sets whose addresses are taken. Longer ones are lists of what is blocked, mostly.
const maxDestinations = 256

// elsewhere returns the rules that change the destination of packets to certain
// addresses, none of which is the host's. They may be routed to it. known are the
// translations of packets to its own addresses.
func (r *ruleset) elsewhere(host Host, known []Translation) []Translation {
	others := Host{Uplinks: host.Uplinks}
	for _, family := range families {
		path := r.prerouting(family)
		if len(path.translating) == 0 {
			continue
		}
		for _, c := range r.reachable(slices.Concat(path.before, path.translating)...) {
			for _, rule := range c.rules {
				others.Addresses = append(others.Addresses, r.destinations(c, rule, family)...)
			}
		}
	}
	slices.SortFunc(others.Addresses, netip.Addr.Compare)
	others.Addresses = slices.DeleteFunc(slices.Compact(others.Addresses), func(address netip.Addr) bool {
		return slices.Contains(host.Addresses, address)
	})
	if len(others.Addresses) == 0 {
		return nil
	}
	others.Addresses = others.Addresses[:min(len(others.Addresses), maxDestinations)]
	survey := &Survey{}
	r.reportTranslations(others, survey)
	return slices.DeleteFunc(survey.Translations, func(t Translation) bool {
		return !t.LocalOnly || slices.ContainsFunc(known, func(k Translation) bool {
			return k.Protocol == t.Protocol && k.Target == t.Target && k.Ports.First <= t.Ports.First && t.Ports.Last <= k.Ports.Last
		})
	})
}

// destinations returns the addresses that a rule compares the destination of a
// family's packets with, or looks it up among.
func (r *ruleset) destinations(c *chain, a rule, family byte) (addresses []netip.Addr) {
	add := func(first, last []byte) {
		if address, ok := netip.AddrFromSlice(bytes.Clone(first)); ok && bytes.Equal(first, last) {
			addresses = append(addresses, address)
		}
	}
	t := thread{packet: packet{family: family}}
	destination := fieldCells(addressField, t.addressLength())
	hasDestination := func(register uint32) bool { return slices.Equal(t.read(register, len(destination)), destination) }
	for _, expression := range a.expressions {
		switch e := expression.(type) {
		case *expr.Cmp:
			if hasDestination(e.Register) {
				add(e.Data, e.Data)
			}
		case *expr.Lookup:
			if !hasDestination(e.SourceRegister) {
				continue
			}
			s, _ := r.set(c.table, e.SetName) // what can't be read is reported
			if len(s.entries) > maxDestinations {
				continue
			}
			for _, e := range s.entries {
				if len(e.keys.first) >= len(destination) {
					add(e.keys.first[:len(destination)], e.keys.last[:len(destination)])
				}
			}
		default:
			t.loadFrom(e)
		}
	}
	return addresses
}
