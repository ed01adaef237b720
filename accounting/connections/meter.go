package connections

import (
	"sync"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/throttle"
)

// Counter counts who is connected. Its method is called by one goroutine at a time.
type Counter interface {
	// Count returns the connections of each port, in the order of the ports, which
	// is ascending, and reuses the slice.
	Count(ports []uint16, reuse []accounting.Connections) ([]accounting.Connections, error)
}

// Meter counts connections for whoever asks, and shares a count between
// those who ask at the same time. It counts only when it is asked. It is safe for
// concurrent use.
type Meter struct {
	counter Counter
	now     func() time.Time
	board   *health.Board

	mutex  sync.Mutex
	ports  []uint16                 // of the last count: those whose connections are visible
	counts []accounting.Connections // of these ports; empty if the count failed
	gap    throttle.Gap
}

// NewMeter returns a meter that counts with the counter. If that is nil, all
// connections are unknown. If now is nil, the meter uses time.Now. The board has
// whether it can.
func NewMeter(counter Counter, now func() time.Time, board *health.Board) *Meter {
	if now == nil {
		now = time.Now
	}
	return &Meter{counter: counter, now: now, board: board, gap: throttle.Gap{Share: countShare}}
}

// Complete sets the connections of the report's ports. Those that can't be counted
// are unknown.
func (m *Meter) Complete(report *accounting.Report) {
	m.visit(report.Ports, func(i int, connections accounting.Connections) {
		report.Ports[i].Connections = connections
	})
}

// visit passes the connections of each port to yield, which must not use the
// meter. It does not change the ports.
func (m *Meter) visit(ports []accounting.PortReport, yield func(i int, connections accounting.Connections)) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.count(ports)
	at := 0
	for i := range ports {
		number := ports[i].Port.Number
		for at < len(m.counts) && m.ports[at] < number {
			at++
		}
		var connections accounting.Connections
		if at < len(m.counts) && m.ports[at] == number && ports[i].Port.ConnectionsVisible() {
			connections = m.counts[at]
		}
		yield(i, connections)
	}
}

const (
	// countShare is how much of the time clients can make the meter count: one part.
	countShare = 5
	// retryGap is the time from a count that failed to the next one. A kernel without
	// sock_diag looks for a module at each attempt.
	retryGap = 10 * time.Second
)

// count counts the connections of the ports, unless the last count is recent enough.
func (m *Meter) count(ports []accounting.PortReport) {
	if m.counter == nil {
		return
	}
	m.gap.Do(m.now, func() {
		m.ports = m.ports[:0]
		for i := range ports {
			if ports[i].Port.ConnectionsVisible() {
				m.ports = append(m.ports, ports[i].Port.Number)
			}
		}
		counts, err := m.counter.Count(m.ports, m.counts)
		m.gap.Least = 0
		if err != nil {
			counts, m.gap.Least = m.counts[:0], retryGap
		}
		m.counts = counts
		m.board.Observe(health.Connections, err)
	})
}
