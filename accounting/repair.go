package accounting

import (
	"errors"
	"fmt"
	"slices"
)

// repair makes the table right if Verify finds something wrong with it. readErr
// is the result of the reading before.
func (m *Meter) repair(readErr error) {
	unreadable := readErr != nil && !errors.Is(readErr, ErrNoTable) && !errors.Is(readErr, ErrRestored)
	if unreadable {
		return // which is another fault
	}
	var err error
	if !m.idle(readErr) {
		err = m.verify()
	}
	m.status.RepairError = err
	switch m.repairFault.Observe(err) {
	case FaultRaised:
		m.log.Error("the table can't be repaired; there are no rates until it can be", "error", err)
	case FaultCleared:
		m.log.Info("the table is as it should be again")
	}
}

// verify verifies the table and installs it anew where it has drifted.
func (m *Meter) verify() error {
	findings, err := m.source.Verify(m.ports)
	if err != nil {
		return err
	}
	if !slices.Equal(findings, m.lastDrift) {
		for _, finding := range findings {
			m.log.Warn("the table is not as it should be and is repaired", "found", finding)
		}
	}
	m.lastDrift = findings
	if len(findings) == 0 {
		return nil
	}
	if err := m.install(); err != nil {
		return fmt.Errorf("repairing the table: %w", err)
	}
	m.lastDrift = nil
	m.status.Reinstalls++
	return nil
}

// install makes the table right for the ports in force. It saves first: the
// table may not exist any more, and its last values are in the ledger only.
func (m *Meter) install() error {
	m.save()
	return m.source.Install(m.ports)
}
