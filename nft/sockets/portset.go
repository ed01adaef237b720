package sockets

import (
	"math/bits"

	"ssmonitor/accounting"
)

// portSet is a set of ports that finds the place of each in the sorted list.
type portSet struct {
	words  [1 << 16 / 64]uint64
	before [1 << 16 / 64]uint16 // how many ports are in the words before
	size   int
	first  uint16
}

// set makes the set one of the ports.
func (s *portSet) set(ports accounting.Ports) {
	*s = portSet{size: len(ports)}
	for i := range ports {
		number := ports[i].Number
		s.words[number/64] |= 1 << (number % 64)
	}
	if len(ports) > 0 {
		s.first = ports[0].Number
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

// only returns the port of a set of one, and otherwise 0.
func (s *portSet) only() uint16 {
	if s.size == 1 {
		return s.first
	}
	return 0
}
