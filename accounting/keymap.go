package accounting

import "iter"

// PortMap maps ports to values by position instead of by hash: it grows by pages
// of 256 ports and is never rebuilt. The zero value is empty: every port has the
// zero T.
type PortMap[T any] struct {
	pages [256]*[256]T
}

// Get returns the value of port, or the zero T.
func (m *PortMap[T]) Get(port uint16) (value T) {
	if page := m.pages[port>>8]; page != nil {
		value = page[port&0xff]
	}
	return value
}

// At returns where the value of port is. The result remains valid.
func (m *PortMap[T]) At(port uint16) *T {
	page := &m.pages[port>>8]
	if *page == nil {
		*page = new([256]T)
	}
	return &(*page)[port&0xff]
}

// All returns the ports that may have another value than the zero T, in ascending order.
func (m *PortMap[T]) All() iter.Seq2[uint16, *T] {
	return func(yield func(uint16, *T) bool) {
		for high, page := range &m.pages {
			if page == nil {
				continue
			}
			for low := range page {
				if !yield(uint16(high<<8|low), &page[low]) {
					return
				}
			}
		}
	}
}

// KeyMap is a PortMap with a value per key. Its keys have the protocol TCP or UDP.
type KeyMap[T comparable] struct {
	ports PortMap[[keysPerPort]T]
}

// keysPerPort is the number of counters that a port can have.
const keysPerPort = 4

// Get returns the value of key, or the zero T.
func (m *KeyMap[T]) Get(key Key) T { return m.ports.Get(key.Port)[key.slot()] }

// At returns where the value of key is. The result remains valid.
func (m *KeyMap[T]) At(key Key) *T { return &m.ports.At(key.Port)[key.slot()] }

// changeIf sets the value of key if it is old.
func (m *KeyMap[T]) changeIf(key Key, old, value T) {
	if at := m.At(key); *at == old {
		*at = value
	}
}

// All returns the keys whose value is not the zero T with their values, in the
// order of [Key.Compare].
func (m *KeyMap[T]) All() iter.Seq2[Key, T] {
	return func(yield func(Key, T) bool) {
		var zero T
		for port, values := range m.ports.All() {
			for slot, value := range values {
				if value != zero && !yield(keyAt(port, slot), value) {
					return
				}
			}
		}
	}
}

// slot is the place of the key among those of its port, in the order of Compare.
func (k Key) slot() uint8 {
	slot := uint8(k.Direction & 1)
	if k.Protocol == UDP {
		slot |= 2
	}
	return slot
}

// keyAt returns the key at a slot of a port.
func keyAt(port uint16, slot int) Key {
	key := Key{Port: port, Protocol: TCP, Direction: Direction(slot & 1)}
	if slot&2 != 0 {
		key.Protocol = UDP
	}
	return key
}
