package accounting

import (
	"slices"
	"time"
)

// Unsaved is what was read and is not saved yet.
type Unsaved struct {
	Time     time.Time // of the last reading
	Ports    Ports     // in force, with their names
	Accounts []Account // that have changed since the last save, by Key.Compare
	Gains    []Gain    // of these accounts, by Key.Compare and then in the order of the readings
}

// Unsaved returns what was read and is not saved yet. It reads and saves nothing.
func (m *Meter) Unsaved() Unsaved {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	changes := m.ledger.Changes()
	return Unsaved{m.status.LastRead, slices.Clone(m.ports), changes.Accounts, changes.Gains}
}
