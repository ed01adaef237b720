package interfaces

import (
	"encoding/binary"
	"slices"
	"testing"
)

// nextHop returns a struct rtnexthop of a length, followed by attributes.
func nextHop(length uint16, index uint32, attributes ...byte) []byte {
	hop := binary.NativeEndian.AppendUint16(nil, length)
	hop = binary.NativeEndian.AppendUint32(append(hop, 0, 0), index)
	return append(hop, attributes...)
}

func TestNextHops(t *testing.T) {
	for _, test := range []struct {
		name string
		list []byte
		want []int
	}{
		{"none", nil, nil},
		{"two, of which the first is padded", slices.Concat(nextHop(10, 3, 1, 2, 0, 0), nextHop(8, 4)), []int{3, 4}},
		{"a length that is not padded", nextHop(10, 3, 1, 2), []int{3}},
		{"no length", slices.Concat(nextHop(0, 3), nextHop(8, 4)), []int{3}},
		{"too long", nextHop(12, 3), []int{3}},
		{"too short", nextHop(8, 3)[:7], nil},
	} {
		if got := nextHops(test.list); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
