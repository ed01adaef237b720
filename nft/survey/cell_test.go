package survey

import (
	"math/rand/v2"
	"testing"
)

// TestMaskedCells compares what is known of bytes that two expressions mask with
// all that they may be.
func TestMaskedCells(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var mask, xor [2]byte
		for i := range mask {
			mask[i], xor[i] = byte(random.Uint32()|random.Uint32()), byte(random.Uint32()&random.Uint32())
		}
		c, other := fieldCell(portField, 0).through(mask[0], xor[0]).through(mask[1], xor[1]), byte(random.Uint32())
		var possible orders
		for value := range 256 {
			masked := (byte(value)&mask[0]^xor[0])&mask[1] ^ xor[1]
			if got := c.with(byte(value)); c.field == portField && got != constantCell(masked) || c.field == constant && c.value != masked {
				t.Fatalf("%d through %v and %v: got %v, want %d", value, mask, xor, got, masked)
			}
			switch {
			case masked < other:
				possible |= less
			case masked == other:
				possible |= equal
			default:
				possible |= greater
			}
		}
		if got := c.compare(other); got != possible {
			t.Fatalf("a byte through %v and %v, compared with %d: got %03b, want %03b", mask, xor, other, got, possible)
		}
	}
	if got := fieldCell(portField, 0).through(0xf0, 3).through(0x0f, 4); got != constantCell(7) {
		t.Errorf("got %v for a byte of which nothing is left", got)
	}
}

// TestReversedPorts has ranges of new ports that end before they begin, which other
// tools than nft and iptables can write.
func TestReversedPorts(t *testing.T) {
	to := destination{firstPort: 81, lastPort: 80}
	if first, last := to.newPorts(5); first != 80 || last != 81 {
		t.Errorf("got %d-%d, want 80-81", first, last)
	}
	to.shifted, to.basePort = true, 5
	if first, last := to.newPorts(6); first != 81 || last != 0 {
		t.Errorf("shifted: got %d-%d, want 81", first, last)
	}
}
