package accounting

// KeyMap maps keys to values by position instead of by hash: it grows by pages
// of 256 ports and is never rebuilt. The zero value is empty: every key has the
// zero T. Its keys have the protocol TCP or UDP.
type KeyMap[T any] struct {
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

// slot is the place of the key in its page.
func (k Key) slot() uint16 {
	slot := k.Port&0xff<<2 | uint16(k.Direction&1)
	if k.Protocol == UDP {
		slot |= 2
	}
	return slot
}
