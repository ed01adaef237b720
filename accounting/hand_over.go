package accounting

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// HandOver gives a port to a client of another name. It reads and saves what was
// counted so far, which belongs to the previous client, and then calls begin with the
// time of that reading, so that whatever is saved later belongs to the new one. Nothing
// is read in between. If HandOver fails, the port keeps its client.
func (m *Meter) HandOver(port uint16, name string, begin func(since time.Time) error) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	since, err := m.flush()
	if err != nil {
		return fmt.Errorf("closing the books of the previous client: %w", err)
	}
	if err := begin(since); err != nil {
		return err
	}
	m.last.beginClient(port, m.ledger)
	m.rename(port, name)
	return nil
}

// SetEarlier sets what clients used that had the ports before the present ones, as the
// store knows it when the names of the ports are resolved.
func (m *Meter) SetEarlier(earlier map[Key]Count) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.last.earlier = maps.Clone(earlier)
}

// rename changes the name of a port in force.
func (m *Meter) rename(number uint16, name string) {
	ports := slices.Clone(m.ports)
	for i := range ports {
		if ports[i].Number == number {
			ports[i].Name = name
		}
	}
	m.ports = ports
	m.last.follow(ports)
}
