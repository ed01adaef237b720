package survey

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// elsewhere returns the rules that change the destination of packets to certain
// addresses, none of which is the host's. They may be routed to it. known are those
// that concern its own addresses, too.
func (r *ruleset) elsewhere(host Host, known []Translation) []Translation {
	others := Host{Uplinks: host.Uplinks}
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		path := r.prerouting(nftables.TableFamily(family))
		for _, base := range slices.Concat(path.before, path.translating) {
			for _, c := range r.reachable(base) {
				for _, rule := range c.rules {
					others.Addresses = append(others.Addresses, r.destinations(c, rule)...)
				}
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
	found, survey := newTranslated(others), &Survey{}
	r.translations(others, found.add)
	found.report(survey)
	return slices.DeleteFunc(survey.Translations, func(t Translation) bool {
		return !t.LocalOnly || slices.ContainsFunc(known, func(k Translation) bool {
			return k.Place == t.Place && k.Protocol == t.Protocol && k.Target == t.Target
		})
	})
}

// destinations returns the addresses that a rule of a chain compares the destination
// with, or looks up.
func (r *ruleset) destinations(c *chain, a rule) (addresses []netip.Addr) {
	loaded := make(map[uint32]int) // the length of the destination in a register
	for _, expression := range a.expressions {
		switch e := expression.(type) {
		case *expr.Payload:
			loaded[e.DestRegister] = 0
			if ipv4, ipv6 := e.Offset == 16 && e.Len == 4, e.Offset == 24 && e.Len == 16; e.Base == expr.PayloadBaseNetworkHeader && (ipv4 || ipv6) {
				loaded[e.DestRegister] = int(e.Len)
			}
		case *expr.Cmp:
			if address, ok := netip.AddrFromSlice(bytes.Clone(e.Data)); ok && e.Op == expr.CmpOpEq && loaded[e.Register] > 0 {
				addresses = append(addresses, address)
			}
		case *expr.Lookup:
			if length := loaded[e.SourceRegister]; length > 0 {
				addresses = append(addresses, r.listed(c, e.SetName, length)...)
			}
		}
	}
	return addresses
}

// listed returns the addresses with which the keys of a set begin. A long set is no
// list of addresses that are routed to this host, but one of services or of networks.
func (r *ruleset) listed(c *chain, name string, length int) (addresses []netip.Addr) {
	const most = 256
	s, err := r.set(c.table, name)
	if err != nil || len(s.entries) > most {
		return nil
	}
	for _, e := range s.entries {
		if len(e.keys.first) >= length && bytes.Equal(e.keys.first[:length], e.keys.last[:length]) {
			address, _ := netip.AddrFromSlice(bytes.Clone(e.keys.first[:length]))
			addresses = append(addresses, address)
		}
	}
	return addresses
}
