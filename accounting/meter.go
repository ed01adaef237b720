package accounting

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Meter reads a source into a ledger, keeps the source right for the ports in
// force, and saves. It is safe for concurrent use.
//
// What it does in which order is what keeps the totals exact: a reset, another
// table and a repair are saved before anything is published or installed, and a
// port that goes is detached, read once more, saved and only then deleted.
type Meter struct {
	now          func() time.Time
	source       Source
	store        Store
	saveInterval time.Duration
	log          *slog.Logger

	mutex   sync.Mutex
	ledger  *Ledger
	ports   Ports
	wanted  map[Key]bool // the counters of ports
	leaving map[Key]int  // counters on their way out: readings since they were detached
	sample  Sample
	last    interval
	// unmended is what is wrong with the table and could not be put right: it
	// is said once.
	unmended []string
	status   Status
	saved    time.Time
}

// interval is the last whole one: what the rates are of.
type interval struct {
	end    time.Time
	length time.Duration // 0: no rate is known
	totals map[Key]Count // at its end
	rates  map[Key]Rate
	spare  map[Key]Count // for the totals of the next one
}

// MeterOptions are what a meter is made of.
type MeterOptions struct {
	Source Source
	// Store keeps the ledger; nil: it is kept in memory only.
	Store Store
	// Saved is what the store held at the start.
	Saved State
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
	// SaveInterval is how long at most a change waits to be saved. What can't
	// wait is saved at once. 0 saves at every tick.
	SaveInterval time.Duration
	Log          *slog.Logger
}

// Status is how the meter itself fares.
type Status struct {
	LastRead      time.Time     // of the last reading that succeeded
	ReadDuration  time.Duration // of the last reading
	LastError     error         // of the last reading, nil if it succeeded
	Reinstalls    uint64        // repairs of the table
	Resets        uint64        // counters that somebody set back
	SaveFailures  uint64
	LastSave      time.Time
	LastSaveError error // of the last save, nil if it succeeded
	Ports         int   // in force
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
		wanted:       make(map[Key]bool),
		leaving:      make(map[Key]int),
	}
}

// SetPorts puts a list of ports in force: the counters of new ones are
// installed at once, those of ports that are no longer in it end counting at
// once and are deleted after their last reading is saved. After an error the
// list is in force all the same and the next tick tries again.
func (m *Meter) SetPorts(ports Ports) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	// What drifted while no agent ran is found before anything is added.
	if err := m.heal(m.read()); err != nil {
		m.log.Error("the table could not be put right", "error", err)
	}
	before := m.wanted
	m.ports = slices.Clone(ports)
	m.wanted = make(map[Key]bool, 4*len(ports))
	for _, key := range ports.Keys() {
		m.wanted[key] = true
		delete(m.leaving, key)
	}
	m.status.Ports = len(ports)
	if len(missing(m.wanted, before)) > 0 {
		if err := m.install(); err != nil {
			return fmt.Errorf("installing the counters of %d ports: %w", len(ports), err)
		}
	}
	return m.detach(missing(before, m.wanted))
}

// missing returns the keys of all that are not in some.
func missing(all, some map[Key]bool) []Key {
	var keys []Key
	for key := range all {
		if !some[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// install makes the table right for the ports in force. It saves first: the
// table may be gone, and its last values are in the ledger only.
func (m *Meter) install() error {
	m.save()
	return m.source.Install(m.ports)
}

// Ports returns the list in force.
func (m *Meter) Ports() Ports {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.ports)
}

// Status returns how the meter fares.
func (m *Meter) Status() Status {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.status
}

// Tick ends an interval: it reads, heals what has drifted, saves what is due
// and returns the report with the rates over the interval. After an error
// nothing is known of this interval, and the next one has no rates either.
func (m *Meter) Tick() (*Report, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	err := m.read()
	if err == nil {
		m.detachUnknown()
	}
	healErr := m.heal(err)
	if err == nil {
		err = healErr
	}
	m.finishLeaving()
	if m.now().Sub(m.saved) >= m.saveInterval {
		m.save()
	}
	if err != nil {
		m.last.reset()
		if m.idle(err) {
			return m.report(), nil
		}
		return nil, err
	}
	m.last.next(m.sample.Time, m.wanted, m.ledger)
	return m.report(), nil
}

// Refresh reads and returns the totals of this moment, with the rates of the
// last whole interval.
func (m *Meter) Refresh() (*Report, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if err := m.read(); err != nil && !m.idle(err) {
		return nil, err
	}
	return m.report(), nil
}

// Settle reads and saves at once: at the end of an agent, whose counters go on
// counting for the next one to find, and before counters are deleted.
func (m *Meter) Settle() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	err := m.read()
	if errors.Is(err, ErrNoTable) || errors.Is(err, ErrRestored) {
		err = nil // there is nothing that counts
	}
	if m.store == nil {
		return err
	}
	m.save()
	return errors.Join(err, m.status.LastSaveError)
}

// read takes a sample and posts it.
func (m *Meter) read() error {
	m.sample.Time = m.now()
	err := m.source.Read(&m.sample)
	m.status.ReadDuration, m.status.LastError = m.now().Sub(m.sample.Time), err
	if m.idle(err) {
		m.status.LastRead, m.status.LastError = m.sample.Time, nil
	}
	if err != nil {
		return err
	}
	m.status.LastRead = m.sample.Time
	for key := range m.leaving {
		m.leaving[key]++
	}
	resets, newTable := m.ledger.Add(&m.sample)
	if len(resets) > 0 {
		m.status.Resets += uint64(len(resets))
		m.log.Warn("counters were reset by somebody else; what they counted since the last reading before that is lost",
			"counters", len(resets), "first", resets[0].Key.String(), "was_bytes", resets[0].Was.Bytes, "is_bytes", resets[0].Is.Bytes)
	}
	if len(resets) > 0 || newTable {
		m.save()
	}
	return nil
}

// idle tells whether a reading failed only since there is nothing to count and
// no table.
func (m *Meter) idle(readErr error) bool {
	return len(m.ports) == 0 && errors.Is(readErr, ErrNoTable)
}

// heal puts right what Verify finds. readErr is what the reading of this tick
// said.
func (m *Meter) heal(readErr error) error {
	unreadable := readErr != nil && !errors.Is(readErr, ErrNoTable) && !errors.Is(readErr, ErrRestored)
	if unreadable || m.idle(readErr) {
		return nil
	}
	findings, err := m.source.Verify(m.ports)
	if err != nil || len(findings) == 0 {
		return err
	}
	if !slices.Equal(findings, m.unmended) {
		for _, finding := range findings {
			m.log.Warn("the table is not as it should be and is put right", "found", finding)
		}
	}
	m.unmended = findings
	if err := m.install(); err != nil {
		return fmt.Errorf("putting the table right: %w", err)
	}
	m.unmended = nil
	m.status.Reinstalls++
	return nil
}

// detachUnknown ends the counting of ports that are not in force, such as those
// that left the list while no agent ran.
func (m *Meter) detachUnknown() {
	var unknown []Key
	for i := range m.sample.Readings {
		key := m.sample.Readings[i].Key
		if !m.wanted[key] {
			if _, leaving := m.leaving[key]; !leaving {
				unknown = append(unknown, key)
			}
		}
	}
	if err := m.detach(unknown); err != nil {
		m.log.Error("a port that is no longer listed is still counted", "error", err)
	}
}

func (m *Meter) detach(keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	if err := m.source.Detach(keys); err != nil {
		return err
	}
	for _, key := range keys {
		m.leaving[key] = 0
	}
	return nil
}

// finishLeaving deletes the counters whose last reading is saved.
func (m *Meter) finishLeaving() {
	var done []Key
	for key, readings := range m.leaving {
		if readings > 0 {
			done = append(done, key)
		}
	}
	if len(done) == 0 || !m.save() {
		return
	}
	slices.SortFunc(done, Key.Compare)
	if err := m.source.Delete(done); err != nil {
		m.log.Error("the counters of ports that are no longer listed could not be deleted", "error", err)
	}
	// Those that are still there show up in the next sample, as unknown, and
	// are detached again: somebody may have attached them.
	for _, key := range done {
		delete(m.leaving, key)
	}
}

// save reports whether the ledger is safe now. A failure is said when it begins
// and when it ends.
func (m *Meter) save() bool {
	if m.store == nil {
		return true
	}
	m.saved = m.now()
	err := m.store.Save(m.ledger.Unsaved())
	failed := m.status.LastSaveError != nil
	m.status.LastSaveError = err
	if err != nil {
		m.status.SaveFailures++
		if !failed {
			m.log.Error("the totals can't be saved; counting goes on and they are saved as soon as they can be", "error", err)
		}
		return false
	}
	if failed {
		m.log.Info("the totals are saved again")
	}
	m.ledger.Saved()
	m.status.LastSave = m.saved
	return true
}

// next ends the interval at now and begins another.
func (l *interval) next(now time.Time, keys map[Key]bool, ledger *Ledger) {
	if l.totals == nil {
		l.totals, l.spare, l.rates = make(map[Key]Count), make(map[Key]Count), make(map[Key]Rate)
	}
	l.length = 0
	if !l.end.IsZero() {
		l.length = now.Sub(l.end)
	}
	clear(l.spare)
	clear(l.rates)
	for key := range keys {
		total, read := ledger.Total(key)
		if !read {
			continue
		}
		l.spare[key] = total
		if before, known := l.totals[key]; known && l.length > 0 {
			l.rates[key] = perSecond(before, total, l.length)
		}
	}
	l.totals, l.spare, l.end = l.spare, l.totals, now
}

func perSecond(before, after Count, length time.Duration) Rate {
	seconds := length.Seconds()
	return Rate{
		Packets: float64(after.Packets-before.Packets) / seconds,
		Bytes:   float64(after.Bytes-before.Bytes) / seconds,
	}
}

// reset forgets the interval: the next reading only begins one.
func (l *interval) reset() {
	clear(l.totals)
	clear(l.rates)
	l.end, l.length = time.Time{}, 0
}

// report makes a report of the ledger and the last interval's rates.
func (m *Meter) report() *Report {
	r := &Report{Time: m.sample.Time, Interval: m.last.length, Ports: make([]PortReport, len(m.ports))}
	for i, port := range m.ports {
		p := &r.Ports[i]
		p.Port, p.Rated = port, m.last.length > 0
		for _, key := range port.Keys(make([]Key, 0, 4)) {
			flow := p.flow(key)
			flow.Total, _ = m.ledger.Total(key)
			rate, rated := m.last.rates[key]
			flow.Rate = rate
			p.Rated = p.Rated && rated
		}
		sum := p.Sum()
		r.Total.In = r.Total.In.plus(sum.In)
		r.Total.Out = r.Total.Out.plus(sum.Out)
	}
	r.Total.In.Total, r.Total.Out.Total = m.ledger.Sum()
	return r
}

// flow returns the part of the report that stands for a counter.
func (p *PortReport) flow(key Key) *Flow {
	traffic := &p.TCP
	if key.Protocol == UDP {
		traffic = &p.UDP
	}
	if key.Direction == In {
		return &traffic.In
	}
	return &traffic.Out
}
