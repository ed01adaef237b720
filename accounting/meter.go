package accounting

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Meter reads a source into a ledger, repairs the source when it does not match
// the ports in force, and saves the ledger. It is safe for concurrent use.
//
// The order of its steps keeps the totals exact. After a reset, after a change of
// the table and before a repair, it saves before it publishes or installs
// anything. A removed port is detached, read once more, saved and only then
// deleted.
type Meter struct {
	now          func() time.Time
	source       Source
	store        Store
	saveInterval time.Duration
	log          *slog.Logger

	mutex      sync.Mutex
	ledger     *Ledger
	ports      Ports
	forwarding Forwarding
	forwards   bool // whether it is set
	states     KeyMap[counterState]
	stray      []Key // that were given this state since the last tick
	detached   []Key // that may be draining or drained
	sample     Sample
	last       interval
	lastDrift  []string // findings that are not repaired yet
	status     Status
	attempted  time.Time // when the last save was attempted
	losses     losses

	repairFault, saveFault, detachFault Fault
}

// MeterOptions configure a meter.
type MeterOptions struct {
	// Source is the table of counters.
	Source Source
	// Store keeps the ledger. If it is nil, the ledger is kept in memory only.
	Store Store
	// Saved is the state with which the ledger begins.
	Saved State
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
	// SaveInterval is the longest time that a change waits to be saved. Changes
	// that could not be computed again are saved at once. 0 saves at every tick.
	SaveInterval time.Duration
	// Log receives faults, repairs and what is lost.
	Log *slog.Logger
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
	now := options.Now
	if now == nil {
		now = time.Now
	}
	return &Meter{
		now:          now,
		source:       options.Source,
		store:        options.Store,
		saveInterval: options.SaveInterval,
		log:          options.Log,
		ledger:       NewLedger(options.Saved),
	}
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
		err = m.source.Attach(added)
	}
	install := errors.Is(err, ErrChanged)
	if install {
		// Drift from the time when no agent ran is found before anything is added.
		m.superviseTable(m.readAndPost())
	}
	m.ports = slices.Clone(ports)
	m.last.follow(m.ports)
	m.status.Ports = len(ports)
	for _, key := range added.Keys() {
		*m.states.At(key) = inForce
	}
	if install {
		err = m.install()
	}
	if err != nil {
		err = fmt.Errorf("installing the counters: %w", err)
	}
	return errors.Join(err, m.detach(removed.Keys()))
}

// SetForwarding sets what is counted where the host forwards packets. The table is
// changed at once.
func (m *Meter) SetForwarding(forwarding Forwarding) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.forwards && m.forwarding.Equal(forwarding) {
		return nil
	}
	if len(m.ports) > 0 {
		m.superviseTable(m.readAndPost()) // drift is found before anything is changed
	}
	m.source.SetForwarding(forwarding)
	m.forwarding, m.forwards = forwarding, true
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
	return m.source.Targets()
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
	err := m.readAndPost()
	if err == nil {
		m.detachStray()
	}
	m.superviseTable(err)
	m.deleteDrained()
	if m.status.RepairError == nil && !unreadable(err) {
		m.status.Uncertain += m.losses.end(m.sample.Time, m.now())
	}
	if m.now().Sub(m.attempted) >= m.saveInterval {
		m.save()
	}
	switch {
	case err != nil && !m.idle(err):
		m.last.forget()
		return nil, err
	case err != nil || m.status.RepairError != nil:
		m.last.interrupt(m.sample.Time, m.ledger)
	default:
		m.last.next(m.sample.Time, m.ledger)
	}
	return &m.last.report, nil
}

// ReadShare is how many times its own duration passes from the start of a reading
// until Refresh reads again.
const ReadShare = 5

// Refresh reads and returns the current totals, with the rates of the last
// complete interval. Where a reading takes long, it returns the totals of the last
// one, so that clients can't make the meter read for more than a fifth of the time.
func (m *Meter) Refresh() (*Report, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if err := m.refresh(); err != nil {
		return nil, err
	}
	return m.last.fresh(m.sample.Time, m.ledger), nil
}

func (m *Meter) refresh() error {
	if m.status.LastError == nil && m.now().Sub(m.sample.Time) < ReadShare*m.status.ReadDuration {
		return nil
	}
	if err := m.readAndPost(); !m.idle(err) {
		return err
	}
	return nil
}

// Flush reads and saves at once. It is called when an agent ends, whose counters
// continue to count without it, and before counters are deleted.
func (m *Meter) Flush() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.flush()
}

func (m *Meter) flush() error {
	err := m.readAndPost()
	if errors.Is(err, ErrNoTable) || errors.Is(err, ErrRestored) {
		err = nil // nothing is being counted
	}
	if m.store == nil {
		return err
	}
	m.save()
	return errors.Join(err, m.status.LastSaveError)
}

// readAndPost takes a sample and posts it.
func (m *Meter) readAndPost() error {
	m.sample.Time = m.now()
	err := m.source.Read(&m.sample)
	m.status.ReadDuration, m.status.LastError = m.now().Sub(m.sample.Time), err
	if m.idle(err) {
		m.status.LastRead, m.status.LastError = m.sample.Time, nil
	}
	if err != nil {
		return err
	}
	m.status.LastRead, m.status.Generation = m.sample.Time, m.sample.Generation
	m.drain()
	m.post()
	return nil
}

// post adds the sample to the ledger. Changes that could not be computed again
// are saved at once.
func (m *Meter) post() {
	posting := m.ledger.Add(&m.sample)
	if resets := posting.Resets; len(resets) > 0 {
		m.status.Resets += uint64(len(resets))
		m.log.Warn("counters were reset by somebody else; what they counted between the last reading and the reset is lost",
			"counters", len(resets), "first", resets[0].Key.String(), "was_bytes", resets[0].Was.Bytes, "is_bytes", resets[0].Is.Bytes)
	}
	if loaded := posting.Loaded; len(loaded) > 0 {
		m.log.Warn("counters were loaded from a saved ruleset; their initial values are not counted",
			"counters", len(loaded), "first", loaded[0].String())
	}
	m.losses.observe(posting)
	if posting.NewTable || len(posting.Resets) > 0 || len(posting.Loaded) > 0 {
		m.save()
	}
}

// idle reports whether a reading failed only because there is no table and
// nothing to count.
func (m *Meter) idle(readErr error) bool {
	return len(m.ports) == 0 && errors.Is(readErr, ErrNoTable)
}

// save saves the changes and reports whether the ledger is durable now.
func (m *Meter) save() bool {
	if m.store == nil {
		return true
	}
	m.attempted = m.now()
	err := m.store.Save(m.ledger.Changes())
	m.status.LastSaveError = err
	m.saveFault.Log(m.log, err, "the totals can't be saved; counting continues, and saving is tried again", "the totals are saved again")
	if err != nil {
		m.status.SaveFailures++
		return false
	}
	m.ledger.MarkSaved()
	m.status.LastSave = m.attempted
	return true
}
