package survey

import (
	"fmt"
	"net/netip"
	"slices"
)

// mergePackets joins packets that differ in one respect only, and drops those that
// another one stands for as well.
func mergePackets(packets []packet) []packet {
	packets = joinBy(packets, func(p *packet) { p.ports = nil }, func(into *packet, p packet) {
		into.ports = newPortSet(slices.Concat(into.ports, p.ports))
	})
	packets = joinBy(packets, func(p *packet) { p.addresses = nil }, func(into *packet, p packet) {
		into.addresses = union(into.addresses, p.addresses)
	})
	packets = joinBy(packets, (*packet).omitInterfaces, func(into *packet, p packet) {
		into.joinInterfaces(p.sender)
	})
	packets = joinBy(packets, (*packet).omitSources, func(into *packet, p packet) {
		into.sources = union(into.sources, p.sources)
	})
	return withoutSubsumed(packets)
}

// joinBy joins packets that differ in nothing but what omit takes away.
func joinBy(packets []packet, omit func(*packet), join func(into *packet, p packet)) (joined []packet) {
	if len(packets) < 2 {
		return packets
	}
	seen := make(map[string]int)
	for _, p := range packets {
		rest := p
		omit(&rest)
		key := string(rest.key())
		if i, ok := seen[key]; ok {
			join(&joined[i], p)
			continue
		}
		seen[key] = len(joined)
		joined = append(joined, p)
	}
	return joined
}

// omitInterfaces takes away what joinInterfaces joins: not both at once.
func (p *packet) omitInterfaces() {
	if len(p.interfaces) == 0 || len(p.excluded) == 0 {
		p.interfaces, p.excluded = nil, nil
	}
}

// omitSources keeps that a packet has to come from some source: it can't be joined
// with one that may come from anywhere.
func (p *packet) omitSources() {
	if len(p.sources) > 0 {
		p.sources = []netip.Prefix{{}}
	}
}

// joinInterfaces adds the interfaces by which another packet may come in. Each comes
// in by some, or by all but some.
func (s *sender) joinInterfaces(other sender) {
	if len(s.interfaces) > 0 && len(other.interfaces) > 0 {
		s.interfaces = union(s.interfaces, other.interfaces)
		return
	}
	also := func(excluded []string, by sender) []string {
		return slices.DeleteFunc(slices.Clone(excluded), func(name string) bool {
			allowed := slices.ContainsFunc(by.interfaces, func(pattern string) bool { return matchesInterface(pattern, name) })
			return allowed || len(by.interfaces) == 0 && !slices.Contains(by.excluded, name)
		})
	}
	if len(s.interfaces) > 0 {
		s.excluded = also(other.excluded, *s)
	} else {
		s.excluded = also(s.excluded, other)
	}
	s.interfaces = nil
}

// key returns what two packets must have in common to be joined.
func (p *packet) key() []byte {
	key := fmt.Appendf(nil, "%d %v %v %t %t %v %v %d %q %q %q %v %d ", p.protocol, p.mark, p.connMark, p.tracked, p.untracked,
		p.demands, p.byMark, p.doubts, p.sourceSets, p.interfaces, p.excluded, p.sources, len(p.ports))
	for _, r := range p.ports {
		key = append(key, byte(r.First>>8), byte(r.First), byte(r.Last>>8), byte(r.Last))
	}
	key = fmt.Appendf(key, " %d ", len(p.addresses))
	for _, address := range p.addresses { // there may be thousands
		bytes := address.As16()
		key = append(key, bytes[:]...)
	}
	return key
}

func union[T comparable](a, b []T) []T {
	both := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(both, x) {
			both = append(both, x)
		}
	}
	return both
}

// withoutSubsumed takes from packets the ports for which another one includes them.
// For many packets, that would take longer than it saves.
func withoutSubsumed(packets []packet) (kept []packet) {
	const many = 64
	if len(packets) > many {
		return packets
	}
	for i := range packets {
		p := &packets[i]
		for j := range packets {
			if i != j && packets[j].includes(p) {
				p.ports = p.ports.minus(packets[j].ports)
			}
		}
		if len(p.ports) > 0 {
			kept = append(kept, *p)
		}
	}
	return kept
}

// includes reports whether what becomes of q also becomes of p, with fewer
// conditions, for the ports that both have.
func (p *packet) includes(q *packet) bool {
	switch {
	case p.protocol != q.protocol:
	case p.mark != q.mark || p.connMark != q.connMark || p.untracked != q.untracked || p.tracked != q.tracked:
	case p.doubts&^q.doubts != 0 || p.exceed(q.demands) || p.byMark.exceed(q.byMark):
	case len(p.interfaces) > 0 && !slices.Equal(p.interfaces, q.interfaces), len(p.excluded) > 0 && !slices.Equal(p.excluded, q.excluded):
	case len(p.sources) > 0 && !slices.Equal(p.sources, q.sources):
	case slices.ContainsFunc(p.sourceSets, func(s string) bool { return !slices.Contains(q.sourceSets, s) }):
	case slices.ContainsFunc(q.addresses, func(a netip.Addr) bool { return !slices.Contains(p.addresses, a) }):
	default:
		return true
	}
	return false
}
