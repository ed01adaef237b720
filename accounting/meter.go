package accounting

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ssmonitor/internal/health"
)

// Meter reads a table into a ledger, repairs the table when it does not match
// the ports in force, and saves the ledger. It is safe for concurrent use.
//
// The order of its steps keeps the totals exact. After a reset, after a change of
// the table and before a repair, it saves before it publishes or installs
// anything. A removed port is detached, read once more, saved and only then
// deleted.
type Meter struct {
	options MeterOptions

	mutex      sync.Mutex
	ledger     *Ledger
	ports      Ports
	forwarding Forwarding
	states     KeyMap[counterState]
	stray      []Key // notInForce since the last tick
	detached   []Key // draining or drained, and some that were deleted
	sample     Sample
	last       interval
	lastDrift  []string // findings that are not repaired yet
	status     Status
	attempted  time.Time // when the last save was attempted
	traffic    bool      // an attempt to save had some
	losses     losses
}

// MeterOptions configure a meter.
type MeterOptions struct {
	// Table has the counters.
	Table Table
	// Store keeps the ledger. If it is nil, the ledger is kept in memory only.
	Store Store
	// Initial is the state with which the ledger begins.
	Initial State
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
	// SaveInterval is the longest time that a change waits to be saved. Changes
	// that could not be computed again are saved at once, and so is the first traffic,
	// for readers of the store who wait for it. 0 saves at every tick.
	SaveInterval time.Duration
	// Log receives repairs and what is lost.
	Log *slog.Logger
	// Board has what does not work; nil stands for one that logs only.
	Board *health.Board
}

// Status is the state of the meter itself.
type Status struct {
	LastRead      time.Time     // of the last reading that succeeded
	ReadDuration  time.Duration // of the last reading
	LastError     error         // of the last reading, nil if it succeeded
	RepairError   error         // of the last verification or repair, nil if the table is correct
	Reinstalls    uint64        // repairs of the table
	Resets        uint64        // resets of counters by somebody else
	Uncertain     time.Duration // at most this long, in all, traffic passed that may be missing
	SaveFailures  uint64        // attempts to save that failed
	LastSave      time.Time     // of the last save that succeeded
	LastSaveError error         // of the last save, nil if it succeeded
	Ports         int           // in force
	Generation    uint32        // of the last sample
}

// NewMeter returns a meter without ports.
func NewMeter(options MeterOptions) *Meter {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Board == nil {
		options.Board = health.NewBoard(options.Now, options.Log)
	}
	ledger := NewLedger(options.Initial)
	options.Initial = State{} // it may be large
	return &Meter{options: options, ledger: ledger}
}

// SetPorts puts a list of ports in force. The counters of new ports are installed
// at once. Those of removed ports stop counting at once and are deleted after
// their last reading is saved. If SetPorts fails, the list is in force
// nevertheless, and the next ticks complete the change.
func (m *Meter) SetPorts(ports Ports) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	added, removed := m.ports.changes(ports)
	var err error
	if len(added) > 0 {
		err = m.options.Table.Attach(added)
	}
	if errors.Is(err, ErrChanged) {
		// Drift from the time when no agent ran is found before anything is added.
		m.superviseTable(m.read())
		m.use(ports, added)
		err = m.install()
	} else {
		m.use(ports, added)
	}
	if err != nil {
		err = fmt.Errorf("installing the counters: %w", err)
	}
	return errors.Join(err, m.detach(removed.Keys()))
}

// use makes a list of ports the one in force, to which some are added.
func (m *Meter) use(ports, added Ports) {
	m.ports = slices.Clone(ports)
	m.last.follow(m.ports)
	m.status.Ports = len(ports)
	for _, key := range added.Keys() {
		*m.states.At(key) = inForce
	}
}

// SetForwarding sets what is counted where the host forwards packets. The table is
// changed at once.
func (m *Meter) SetForwarding(forwarding Forwarding) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.forwarding.Equal(forwarding) {
		return nil
	}
	if len(m.ports) > 0 {
		m.superviseTable(m.read()) // drift is found before anything is changed
	}
	m.options.Table.SetForwarding(forwarding)
	m.forwarding = forwarding
	if len(m.ports) == 0 {
		return nil // installed with the first ports
	}
	if err := m.install(); err != nil {
		return fmt.Errorf("counting what is forwarded: %w", err)
	}
	return nil
}

// Targets returns the targets that the table has.
func (m *Meter) Targets() ([]Target, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.options.Table.Targets()
}

// Ports returns the list in force.
func (m *Meter) Ports() Ports {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.ports)
}

// Status returns the state of the meter.
func (m *Meter) Status() Status {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.status
}

// Tick ends an interval: it reads, repairs drift, saves if a save is due, and
// returns the report with the rates of the interval. It fails if the counters
// can't be read, and then the next interval has no rates either. While the table
// can't be repaired, the report has totals but no rates. The report is valid until
// the next call of a method that changes the meter.
func (m *Meter) Tick() (*Report, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	result := m.read()
	if result.err == nil {
		m.detachStray()
	}
	m.superviseTable(result)
	m.deleteDrained()
	if m.status.RepairError == nil && result.repairable() {
		m.status.Uncertain += m.losses.end(result.began, m.options.Now())
	}
	firstTraffic := !m.traffic && m.ledger.gained()
	if firstTraffic || m.options.Now().Sub(m.attempted) >= m.options.SaveInterval {
		_ = m.save() // tried again by a later tick
	}
	switch {
	case result.err != nil:
		m.last.forget()
		return nil, result.err
	case result.empty || m.status.RepairError != nil:
		m.last.interrupt(result.began, m.ledger)
	default:
		m.last.next(result.began, m.ledger)
	}
	return &m.last.report, nil
}

// Read reads the counters between two ticks. It does not verify the table.
func (m *Meter) Read() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.read().err
}

// Report returns the totals of the last reading that succeeded, with the rates of the
// last complete interval. The report belongs to the caller.
func (m *Meter) Report() *Report {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.last.fresh(m.status.LastRead, m.ledger)
}

// Save saves the changes that are not saved yet. A reader to whom a report is published
// only after that never sees a total fall, not even after a power cut.
func (m *Meter) Save() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if !m.ledger.dirty() {
		return nil
	}
	return savingError(m.save())
}

// SavedReport is like [Meter.Report], but returns nil while changes wait to be saved, and
// an error if they could not be saved.
func (m *Meter) SavedReport() (*Report, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.ledger.dirty() {
		return nil, savingError(m.status.LastSaveError)
	}
	return m.last.fresh(m.status.LastRead, m.ledger), nil
}

func savingError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("saving the totals: %w", err)
}

// Flush reads and saves at once. It is called when an agent ends, whose counters
// continue to count without it, and before counters are deleted.
func (m *Meter) Flush() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	_, err := m.flush()
	return err
}

// flush returns when the reading began. Where nothing is being counted, there is
// nothing to read.
func (m *Meter) flush() (time.Time, error) {
	result := m.read()
	if result.repairable() {
		result.err = nil
	}
	return result.began, errors.Join(result.err, m.save())
}

// readResult is how an attempt to read the table ended.
type readResult struct {
	began time.Time
	err   error // nil if the totals are up to date
	empty bool  // there is no table, and nothing to count
}

// repairable reports whether the table was read, or has to be created.
func (r readResult) repairable() bool {
	return r.err == nil || errors.Is(r.err, ErrNoTable) || errors.Is(r.err, ErrRestored)
}

// read takes a sample and posts it.
func (m *Meter) read() readResult {
	result := readResult{began: m.options.Now()}
	m.sample.Time = result.began
	result.err = m.options.Table.Read(&m.sample)
	m.status.ReadDuration = m.options.Now().Sub(result.began)
	if len(m.ports) == 0 && errors.Is(result.err, ErrNoTable) {
		result.err, result.empty = nil, true
		m.sample.Readings = m.sample.Readings[:0]
	}
	m.status.LastError = result.err
	if result.err != nil {
		return result
	}
	m.status.LastRead = result.began
	if !result.empty {
		m.status.Generation = m.sample.Generation
		m.drain()
		m.post()
	}
	return result
}

// post adds the sample to the ledger. Changes that could not be computed again
// are saved at once.
func (m *Meter) post() {
	posting := m.ledger.Add(&m.sample)
	if resets := posting.Resets; len(resets) > 0 {
		m.status.Resets += uint64(len(resets))
		m.options.Log.Warn("counters were reset by somebody else; what they counted between the last reading and the reset is lost",
			"counters", len(resets), "first", resets[0].Key.String(), "was_bytes", resets[0].Was.Bytes, "is_bytes", resets[0].Is.Bytes)
	}
	if loaded := posting.Loaded; len(loaded) > 0 {
		m.options.Log.Warn("counters were loaded from a saved ruleset; their initial values are not counted",
			"counters", len(loaded), "first", loaded[0].String())
	}
	m.losses.observe(posting)
	if posting.NewTable || len(posting.Resets) > 0 || len(posting.Loaded) > 0 {
		_ = m.save() // until a later one the ledger has them in memory
	}
}

// save saves the changes. It records and logs a failure, after which the next save has the
// same changes again.
func (m *Meter) save() error {
	if m.options.Store == nil {
		return nil
	}
	m.attempted, m.traffic = m.options.Now(), m.traffic || m.ledger.gained()
	err := m.options.Store.Save(m.ledger.Changes())
	m.status.LastSaveError = err
	m.options.Board.Observe(health.Saves, err)
	if err != nil {
		m.status.SaveFailures++
		return err
	}
	m.ledger.MarkSaved()
	m.status.LastSave = m.attempted
	return nil
}
