package accounting

import (
	"fmt"
	"slices"

	"ssmonitor/internal/health"
)

// superviseTable verifies the table, repairs it if necessary, and records the result in
// the status and the log. It leaves a table alone that could not be read just before.
func (m *Meter) superviseTable(read readResult) {
	if !read.repairable() {
		return
	}
	var err error
	if !read.empty {
		err = m.repairDrift()
	}
	m.status.RepairError = err
	m.options.Board.Observe(health.Table, err)
}

// repairDrift verifies the table and repairs it if it has drifted.
func (m *Meter) repairDrift() error {
	findings, err := m.options.Table.Verify(m.ports)
	if err != nil {
		return err
	}
	if !slices.Equal(findings, m.lastDrift) {
		for _, finding := range findings {
			m.options.Log.Warn("the table has drifted and is being repaired", "found", finding)
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
	m.losses.disturbed = true
	m.status.Reinstalls++
	return nil
}

// install creates or repairs the table for the ports in force. It saves first:
// if the table no longer exists, only the ledger has its last values. It goes on if that
// fails: traffic that nothing counts would be lost as well.
func (m *Meter) install() error {
	_ = m.save()
	m.losses.expected = true
	return m.options.Table.Install(m.ports)
}
