package survey

import (
	"cmp"
	"slices"
	"sort"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// portSet holds ports as ranges that are sorted and don't touch. It is never
// changed in place.
type portSet []PortRange

const lastPort = 1<<16 - 1

// allPorts are the ports that a client can send to.
var allPorts = portSet{{1, lastPort}}

// newPortSet returns the union of ranges in any order.
func newPortSet(ranges []PortRange) portSet {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	set := portSet{}
	for _, r := range ranges {
		if n := len(set); n > 0 && int(r.First) <= int(set[n-1].Last)+1 {
			set[n-1].Last = max(set[n-1].Last, r.Last)
		} else {
			set = append(set, r)
		}
	}
	return set
}

// window returns the indexes of the ranges that may have ports in common with
// other: all between them.
func (s portSet) window(other portSet) (begin, end int) {
	if len(other) == 0 {
		return 0, 0
	}
	begin = sort.Search(len(s), func(i int) bool { return s[i].Last >= other[0].First })
	end = begin + sort.Search(len(s)-begin, func(i int) bool { return s[begin+i].First > other[len(other)-1].Last })
	return begin, end
}

// and returns the ports that are in both sets.
func (s portSet) and(other portSet) (both portSet) {
	begin, end := s.window(other)
	for i, j := begin, 0; i < end && j < len(other); {
		if first, last := max(s[i].First, other[j].First), min(s[i].Last, other[j].Last); first <= last {
			both = append(both, PortRange{first, last})
		}
		if s[i].Last < other[j].Last {
			i++
		} else {
			j++
		}
	}
	return both
}

// minus returns the ports that are not in other.
func (s portSet) minus(other portSet) portSet {
	begin, end := s.window(other)
	if begin == end {
		return s
	}
	rest := append(make(portSet, 0, len(s)+len(other)), s[:begin]...)
	for _, r := range s[begin:end] {
		rest = append(rest, r.minus(other)...)
	}
	return append(rest, s[end:]...)
}

func (r PortRange) minus(set portSet) (rest []PortRange) {
	begin, end := set.window(portSet{r})
	first := int(r.First)
	for _, hole := range set[begin:end] {
		if first < int(hole.First) {
			rest = append(rest, PortRange{uint16(first), hole.First - 1})
		}
		first = int(hole.Last) + 1
	}
	if first <= int(r.Last) {
		rest = append(rest, PortRange{uint16(first), r.Last})
	}
	return rest
}
