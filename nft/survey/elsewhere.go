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
					others.Addresses = append(others.Addresses, destinations(rule)...)
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

// destinations returns the addresses that a rule compares the destination with.
func destinations(a rule) (addresses []netip.Addr) {
	loaded := make(map[uint32]bool) // registers with the destination
	for _, expression := range a.expressions {
		switch e := expression.(type) {
		case *expr.Payload:
			ipv4, ipv6 := e.Offset == 16 && e.Len == 4, e.Offset == 24 && e.Len == 16
			loaded[e.DestRegister] = e.Base == expr.PayloadBaseNetworkHeader && (ipv4 || ipv6)
		case *expr.Cmp:
			if address, ok := netip.AddrFromSlice(bytes.Clone(e.Data)); ok && e.Op == expr.CmpOpEq && loaded[e.Register] {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}
