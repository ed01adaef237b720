package sockdiag

import "math/bits"

// portRange is the first and the last port of a range.
type portRange struct{ first, last uint16 }

// portSet is a set of ports that finds the place of each in the sorted list.
type portSet struct {
	words  [1 << 16 / 64]uint64
	before [1 << 16 / 64]uint16 // how many ports are in the words before
}

// set makes the set one of the ports.
func (s *portSet) set(ports []uint16) {
	clear(s.words[:])
	for _, port := range ports {
		s.words[port/64] |= 1 << (port % 64)
	}
	count := 0
	for i, word := range s.words {
		s.before[i] = uint16(count)
		count += bits.OnesCount64(word)
	}
}

// index returns the place of the port in the list, if it is in the set.
func (s *portSet) index(port uint16) (i int, found bool) {
	word, bit := s.words[port/64], uint64(1)<<(port%64)
	return int(s.before[port/64]) + bits.OnesCount64(word&(bit-1)), word&bit != 0
}
