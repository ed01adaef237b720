package accounting

import "iter"

// KeyMap maps keys to values by position instead of by hash: it grows by pages
// of 256 ports and is never rebuilt. The zero value is empty: every key has the
// zero T. Its keys have the protocol TCP or UDP.
type KeyMap[T comparable] struct {
	pages [256]*[256 * keysPerPort]T
}

// keysPerPort is the number of counters that a port can have.
const keysPerPort = 4

// Get returns the value of key, or the zero T.
func (m *KeyMap[T]) Get(key Key) (value T) {
	if page := m.pages[key.Port>>8]; page != nil {
		value = page[key.slot()]
	}
	return value
}

// At returns where the value of key is. The result remains valid.
func (m *KeyMap[T]) At(key Key) *T {
	page := &m.pages[key.Port>>8]
	if *page == nil {
		*page = new([256 * keysPerPort]T)
	}
	return &(*page)[key.slot()]
}

// All returns the keys whose value is not the zero T with their values, in the
// order of [Key.Compare].
func (m *KeyMap[T]) All() iter.Seq2[Key, T] {
	return func(yield func(Key, T) bool) {
		var zero T
		for i, page := range &m.pages {
			if page == nil {
				continue
			}
			for slot, value := range page {
				if value != zero && !yield(keyAt(i, slot), value) {
					return
				}
			}
		}
	}
}

// slot is the place of the key in its page, in the order of Compare.
func (k Key) slot() uint16 {
	slot := k.Port&0xff<<2 | uint16(k.Direction&1)
	if k.Protocol == UDP {
		slot |= 2
	}
	return slot
}

// keyAt returns the key at a slot of a page.
func keyAt(page, slot int) Key {
	key := Key{Port: uint16(page<<8 | slot>>2), Protocol: TCP, Direction: Direction(slot & 1)}
	if slot&2 != 0 {
		key.Protocol = UDP
	}
	return key
}
