package accounting

import "slices"

// detachUnknown stops counting ports that are not in force, such as those that
// were removed while no agent ran. It does so only when two ticks in a row have
// found them: `ssmonitor setup` may just have installed them, and the agent may be
// about to load the list that has them.
func (m *Meter) detachUnknown() {
	var due, fresh []Key
	for i := range m.sample.Readings {
		key := m.sample.Readings[i].Key
		_, draining := m.draining[key]
		switch {
		case m.wanted[key] || draining:
		case m.unknown[key]:
			due = append(due, key)
		default:
			fresh = append(fresh, key)
		}
	}
	if len(fresh) > 0 {
		m.log.Warn("the table has counters of ports that are not in force; they are removed with the next reading",
			"counters", len(fresh), "first", fresh[0].String())
	}
	err := m.detach(due)
	if m.detachFault.Observe(err) == FaultRaised {
		m.log.Error("ports that are not in force are still counted", "error", err)
	}
	if err == nil {
		clear(m.unknown)
	}
	m.detachNext(fresh)
}

// detachNext makes the next tick detach the keys.
func (m *Meter) detachNext(keys []Key) {
	for _, key := range keys {
		m.unknown[key] = true
	}
}

// detach ends the counting of keys. Their counters are deleted later.
func (m *Meter) detach(keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	if err := m.source.Detach(keys); err != nil {
		m.detachNext(keys)
		return err
	}
	for _, key := range keys {
		m.draining[key] = 0
	}
	return nil
}

// deleteDrained deletes the detached counters after saving their last reading.
func (m *Meter) deleteDrained() {
	var done []Key
	for key, readings := range m.draining {
		if readings > 0 {
			done = append(done, key)
		}
	}
	if len(done) == 0 || !m.save() {
		return
	}
	slices.SortFunc(done, Key.Compare)
	if err := m.source.Delete(done); err != nil {
		m.log.Error("the counters of removed ports could not be deleted", "error", err)
	}
	// Counters that still exist are detached again: somebody may have attached
	// them meanwhile.
	for _, key := range done {
		delete(m.draining, key)
	}
	m.detachNext(done)
}
