package accounting

import "fmt"

// RefreshSaved is like [Meter.Refresh], but returns only totals that are saved:
// it saves first what has changed. Who publishes nothing else never has to take a
// value back, not even after a power cut. It fails if the totals can't be saved.
func (m *Meter) RefreshSaved() (*Report, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if err := m.refresh(); err != nil {
		return nil, err
	}
	if !m.saved() && !m.save() {
		return nil, fmt.Errorf("saving the totals: %w", m.status.LastSaveError)
	}
	return m.last.fresh(m.sample.Time, m.ledger), nil
}

// Saved reports whether all changes that were read are saved.
func (m *Meter) Saved() bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.saved()
}

func (m *Meter) saved() bool { return m.ledger.changed == 0 }
