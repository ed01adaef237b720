package survey

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ssmonitor/internal/interfaces"
)

// require notes in the packet what it means that cells are in an interval. It
// returns false if that contradicts an earlier condition.
func (p *packet) require(cells []cell, values interval) (possible bool) {
	for begin, end := 0, 0; begin < len(cells); begin = end {
		end = begin + 1
		for end < len(cells) && cells[end].field == cells[begin].field && cells[end].index == cells[end-1].index+1 {
			end++
		}
		run := interval{values.first[begin:end], values.last[begin:end]}
		if cells[begin].index == 0 && !p.requireField(cells[begin:end], run) {
			return false
		}
	}
	return true
}

// requireField notes what it means that a field, or the first bytes of it, are in
// an interval.
func (p *packet) requireField(cells []cell, values interval) (possible bool) {
	single := bytes.Equal(values.first, values.last)
	switch cells[0].field {
	case interfaceName, interfaceIndex:
		if pattern, ok := interfaceOf(cells[0].field, values); ok {
			return p.requireInterface(pattern)
		}
		p.doubts |= unknownSender
	case sourceField:
		return p.requireSource(coveringPrefix(cells, values, p.addressLength()))
	case addressField:
		whole := len(cells) == p.addressLength() && !slices.ContainsFunc(cells, func(c cell) bool { return c.hidden != 0 })
		p.toHost, p.toNetwork = p.toHost || single && whole, true
	case addressType, addressTypeHere:
		p.toHost = p.toHost || single && bytes.Equal(values.first, localType)
	}
	return true
}

// exclude notes in the packet what it means that cells are not in an interval. It
// returns false if that contradicts an earlier condition.
func (p *packet) exclude(cells []cell, values interval) (possible bool) {
	if len(cells) == 0 || len(cells) != len(values.first) {
		return true
	}
	field := cells[0].field
	if field != interfaceName && field != interfaceIndex || !slices.Equal(cells, fieldCells(field, len(cells))) {
		return true
	}
	pattern, ok := interfaceOf(field, values)
	if !ok {
		return true
	}
	if len(p.interfaces) > 0 {
		p.interfaces = slices.DeleteFunc(slices.Clone(p.interfaces), func(name string) bool { return matchesInterface(pattern, name) })
		return len(p.interfaces) > 0
	}
	if (Host{Uplinks: p.uplinks}).hasUplink(pattern) && !p.excludes(pattern) {
		p.excluded = append(slices.Clip(p.excluded), pattern)
	}
	return true
}

// interfaceOf returns the name, or the pattern of names, of the interfaces whose
// field is in an interval.
func interfaceOf(f field, values interval) (pattern string, ok bool) {
	single := bytes.Equal(values.first, values.last)
	if f == interfaceIndex {
		if !single || len(values.first) != 4 {
			return "", false
		}
		index := binary.NativeEndian.Uint32(values.first)
		name, err := interfaces.Name(index)
		if err != nil {
			name = fmt.Sprintf("interface %d", index)
		}
		return name, true
	}
	begin, _, ended := bytes.Cut(values.first, []byte{0})
	switch {
	case single && ended:
		return string(begin), true
	case single: // a pattern is compared without the zero that ends a name
		return string(begin) + "*", true
	}
	wild := bytes.HasPrefix(values.last, begin) && len(bytes.TrimLeft(values.last[len(begin):], "\xff")) == 0
	return string(begin) + "*", wild
}

func (p *packet) requireInterface(name string) (possible bool) {
	if p.excludes(name) {
		return false
	}
	p.interfaces = narrowed(p.interfaces, name, matchesInterface)
	return len(p.interfaces) > 0
}

// narrowed returns what is in one of the ranges, of which none stands for everything,
// and in another one. Of two ranges, one contains the other, or they have nothing in common.
func narrowed[T any](ranges []T, by T, contains func(a, b T) bool) (both []T) {
	if len(ranges) == 0 {
		return []T{by}
	}
	for _, r := range ranges {
		switch {
		case contains(by, r):
			both = append(both, r)
		case contains(r, by):
			both = append(both, by)
		}
	}
	return both
}

// excludes reports whether no packet comes in by an interface with a name, or by any
// that a pattern matches.
func (s *sender) excludes(name string) bool {
	return slices.ContainsFunc(s.excluded, func(pattern string) bool { return matchesInterface(pattern, name) })
}

// matchesInterface reports whether a pattern matches all interfaces that another
// pattern, or a name, matches.
func matchesInterface(pattern, name string) bool {
	if begin, wild := strings.CutSuffix(pattern, "*"); wild {
		return strings.HasPrefix(name, begin)
	}
	return pattern == name
}

// coveringPrefix returns the longest prefix with all addresses whose first bytes,
// as far as a mask leaves them, are in an interval.
func coveringPrefix(cells []cell, values interval, length int) netip.Prefix {
	address, bits := make([]byte, length), 0
	for i, c := range cells[:min(len(cells), length)] {
		known := ^c.hidden &^ (values.first[i] ^ values.last[i])
		address[i] = (values.first[i] ^ c.xor) &^ c.hidden
		for bit := byte(0x80); bit != 0 && known&bit != 0; bit >>= 1 {
			bits++
		}
		if known != 0xff {
			break
		}
	}
	from, _ := netip.AddrFromSlice(address)
	return netip.PrefixFrom(from, bits).Masked()
}

func (p *packet) requireSource(prefix netip.Prefix) (possible bool) {
	if prefix.Bits() == 0 {
		return true
	}
	p.sources = narrowed(p.sources, prefix, func(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Overlaps(b) })
	return len(p.sources) > 0
}
