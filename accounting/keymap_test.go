package accounting

import "testing"

func TestKeyMapKeepsEachKeyApart(t *testing.T) {
	var m KeyMap[int]
	var keys []Key
	for _, number := range []uint16{1, 255, 256, 20000, 65535} {
		keys = Port{Number: number, Protocols: TCPAndUDP}.Keys(keys)
	}
	for i, key := range keys {
		if got := m.Get(key); got != 0 {
			t.Errorf("%s: %d before it was set, want 0", key, got)
		}
		*m.At(key) = i + 1
	}
	for i, key := range keys {
		if got := m.Get(key); got != i+1 {
			t.Errorf("%s: %d, want %d", key, got, i+1)
		}
	}
}
