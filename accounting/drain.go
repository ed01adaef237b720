package accounting

import (
	"slices"

	"ssmonitor/internal/health"
)

// counterState is what the meter has to do with a counter.
//
//	unclassified -- SetPorts --> inForce
//	unclassified -- found by a tick --> notInForce -- detach, by the next tick --> draining
//	inForce -- detach, by SetPorts --> draining -- read --> drained
//	drained -- deleteDrained --> notInForce -- no longer found --> unclassified
//
// If the table can't be changed, detach leaves or makes a counter notInForce, so that the
// next tick tries again.
type counterState byte

const (
	unclassified counterState = iota // nothing, as far as is known
	inForce                          // its port is in force
	notInForce                       // its port is not in force: the next tick detaches it
	draining                         // detached: its last reading is to come
	drained                          // its last reading is posted
)

// detachStray stops counting ports that are not in force, such as those that
// were removed while no agent ran. It does so only when two ticks in a row have
// found them: `ssmonitor setup` may just have installed them, and the agent may be
// about to load the list that has them.
func (m *Meter) detachStray() {
	var due, fresh []Key
	for i := range m.sample.Readings {
		key := m.sample.Readings[i].Key
		switch m.states.Get(key) {
		case notInForce:
			due = append(due, key)
		case unclassified:
			fresh = append(fresh, key)
		}
	}
	if len(fresh) > 0 {
		m.options.Log.Warn("the table has counters of ports that are not in force; they are removed with the next reading",
			"counters", len(fresh), "first", fresh[0].String())
	}
	err := m.detach(due)
	m.options.Board.Observe(health.RemovedPorts, err)
	if err == nil {
		for _, key := range m.stray { // those that were not found again
			m.states.changeIf(key, notInForce, unclassified)
		}
		m.stray = m.stray[:0]
	}
	m.detachNext(fresh)
}

// detachNext makes the next tick detach the keys.
func (m *Meter) detachNext(keys []Key) {
	for _, key := range keys {
		if state := m.states.At(key); *state != notInForce {
			*state = notInForce
			m.stray = append(m.stray, key)
		}
	}
}

// detach ends the counting of keys. Their counters are deleted later.
func (m *Meter) detach(keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	if err := m.options.Table.Detach(keys); err != nil {
		m.detachNext(keys)
		return err
	}
	for _, key := range keys {
		*m.states.At(key) = draining
	}
	m.detached = append(m.detached, keys...)
	return nil
}

// drain records that the detached counters were read.
func (m *Meter) drain() {
	for _, key := range m.detached {
		m.states.changeIf(key, draining, drained)
	}
}

// deleteDrained deletes the detached counters after saving their last reading.
func (m *Meter) deleteDrained() {
	var done []Key
	for _, key := range m.detached {
		if m.states.Get(key) == drained {
			done = append(done, key)
		}
	}
	if len(done) == 0 || m.save() != nil {
		return
	}
	slices.SortFunc(done, Key.Compare)
	done = slices.Compact(done)
	if err := m.options.Table.Delete(done); err != nil {
		m.options.Log.Error("the counters of removed ports could not be deleted", "error", err)
	}
	// Counters that still exist are detached again: somebody may have attached
	// them meanwhile.
	m.detachNext(done)
	m.detached = slices.DeleteFunc(m.detached, func(key Key) bool { return m.states.Get(key) != draining })
}
