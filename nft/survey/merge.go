package survey

import (
	"fmt"
	"net/netip"
	"slices"
)

// mergePackets joins packets that differ in one respect only, and drops those that
// another one stands for as well.
func mergePackets(packets []packet) []packet {
	packets = joinBy(packets, respectPorts, func(into *packet, p packet) {
		into.ports = newPortSet(slices.Concat(into.ports, p.ports))
	})
	packets = joinBy(packets, respectAddresses, func(into *packet, p packet) {
		into.addresses = union(into.addresses, p.addresses)
	})
	packets = joinBy(packets, respectInterfaces, func(into *packet, p packet) {
		into.joinInterfaces(p.sender)
	})
	packets = joinBy(packets, respectSources, func(into *packet, p packet) {
		into.sources = union(into.sources, p.sources)
	})
	return withoutSubsumed(packets)
}

// respect is what packets that are joined may differ in.
type respect int

const (
	respectPorts respect = iota
	respectAddresses
	respectInterfaces
	respectSources
)

// joinBy joins packets that differ in nothing but one respect.
func joinBy(packets []packet, in respect, join func(into *packet, p packet)) (joined []packet) {
	if len(packets) < 2 {
		return packets
	}
	seen := make(map[string]int)
	for _, p := range packets {
		key := string(p.key(in))
		if i, ok := seen[key]; ok {
			join(&joined[i], p)
			continue
		}
		seen[key] = len(joined)
		joined = append(joined, p)
	}
	return joined
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

// key returns what two packets must have in common to be joined. That a packet has
// to come from some source can't be joined with one that may come from anywhere.
func (p *packet) key(without respect) []byte {
	key := fmt.Appendf(nil, "%v %v %t %t %v %v %t %t %t %q %t ", p.mark, p.connMark, p.tracked, p.untracked, p.demands, p.byMark, p.uncertain, p.foreign,
		p.unclear, p.sourceSets, len(p.sources) > 0)
	for _, r := range p.ports {
		if without == respectPorts {
			break
		}
		key = append(key, byte(r.First>>8), byte(r.First), byte(r.Last>>8), byte(r.Last))
	}
	if without != respectAddresses {
		key = fmt.Appendf(key, "%d ", len(p.addresses))
		for _, address := range p.addresses { // there may be thousands
			bytes := address.As16()
			key = append(key, bytes[:]...)
		}
	}
	if without != respectInterfaces || len(p.interfaces) > 0 && len(p.excluded) > 0 {
		key = fmt.Appendf(key, "%q %q", p.interfaces, p.excluded)
	}
	if without != respectSources {
		key = fmt.Appendf(key, "%v", p.sources)
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
	case p.mark != q.mark || p.connMark != q.connMark || p.untracked != q.untracked || p.tracked != q.tracked:
	case p.unclear && !q.unclear || p.uncertain && !q.uncertain || p.foreign && !q.foreign || p.exceed(q.demands) || p.byMark.exceed(q.byMark):
	case len(p.interfaces) > 0 && !slices.Equal(p.interfaces, q.interfaces), len(p.excluded) > 0 && !slices.Equal(p.excluded, q.excluded):
	case len(p.sources) > 0 && !slices.Equal(p.sources, q.sources):
	case slices.ContainsFunc(p.sourceSets, func(s string) bool { return !slices.Contains(q.sourceSets, s) }):
	case slices.ContainsFunc(q.addresses, func(a netip.Addr) bool { return !slices.Contains(p.addresses, a) }):
	default:
		return true
	}
	return false
}
