package store

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// model is what the ledger should contain.
type model struct {
	t      *testing.T
	random *rand.Rand

	directory string
	store     *Store
	ledger    *accounting.Ledger
	now       time.Time
	wrong     time.Duration // how far the clock is ahead
	settable  bool          // somebody sets it
	boots     int
	booted    time.Time
	zone      *time.Location
	monthDay  int

	table    int                                    // that is read; tables return
	counters [3]map[accounting.Key]accounting.Count // of each table, in the kernel
	seen     [3]map[accounting.Key]accounting.Count // at the last reading of each table
	durable  [3]map[accounting.Key]accounting.Count // at the last save
	read     map[accounting.Key]accounting.Count    // by the ledger
	pending  []accounting.Gain                      // not saved yet
	owners   map[uint16]int                         // the tenure in force, an index of names
	names    []string
	ports    []uint16 // of the tenures
	sources  map[uint16]string
	wanted   map[uint16]bool // by the sources
	ended    map[uint16]bool // the tenure of the port
	gone     map[int]bool    // tenures that were forgotten
	booked   map[bookedKey][2]accounting.Count
	saved    map[accounting.Key]accounting.Count
}

type bookedKey struct {
	period   usage.Period
	start    int64
	tenure   int
	port     uint16
	protocol accounting.Protocol
}

var modelZones = []string{"UTC", "Asia/Tehran", "Asia/Kathmandu", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo", "Pacific/Apia"}

const modelPorts = 4

func newModel(t *testing.T, seed uint64, settable bool) *model {
	m := &model{
		settable: settable,
		t:        t, random: rand.New(rand.NewPCG(seed, 1)), directory: fast(t),
		now: time.Date(2023, 2, 27, 22, 0, 0, 0, time.UTC), zone: time.UTC, monthDay: 1,
		owners: make(map[uint16]int), sources: make(map[uint16]string), wanted: make(map[uint16]bool),
		ended: make(map[uint16]bool), gone: make(map[int]bool),
		booked: make(map[bookedKey][2]accounting.Count), saved: make(map[accounting.Key]accounting.Count),
	}
	for table := range m.counters {
		m.counters[table], m.durable[table] = make(map[accounting.Key]accounting.Count), make(map[accounting.Key]accounting.Count)
	}
	m.booted = m.now.Add(-time.Minute)
	m.start()
	return m
}

func (m *model) start() {
	options := Options{
		Holder: "run", Now: m.clock, uptime: func() time.Duration { return m.now.Sub(m.booted) }, Boot: fmt.Sprint(m.boots),
		Zone: m.zone, MonthDay: m.monthDay,
		KeepHours: 20 * 24 * time.Hour, KeepDays: 200 * 24 * time.Hour, keepFormers: 100 * 366 * 24 * time.Hour,
	}
	s, state, notices, err := Open(m.directory, options)
	if err != nil || len(notices) > 0 {
		m.t.Fatal(notices, err)
	}
	for _, account := range state.Accounts {
		if account.Total != m.saved[account.Key] {
			m.t.Fatalf("%s: got %v, want %v", account.Key, account.Total, m.saved[account.Key])
		}
	}
	m.store, m.ledger = s, accounting.NewLedger(state)
	m.read, m.pending = maps.Clone(m.saved), nil
	for table := range m.durable {
		m.seen[table] = maps.Clone(m.durable[table])
	}
	m.rename()
}

// clock is the time that the clock shows.
func (m *model) clock() time.Time { return m.now.Add(m.wrong) }

// reboot begins another boot of the machine, or not. A new ledger can't know whether
// the clock was right before.
func (m *model) reboot() {
	if m.random.IntN(2) == 0 && m.store.saved.clock.trusted != 0 {
		m.boots, m.booted = m.boots+1, m.now
	}
}

func (m *model) traffic() {
	for range 1 + m.random.IntN(4) {
		key := accounting.Key{
			Port:     1 + uint16(m.random.IntN(modelPorts)),
			Protocol: []accounting.Protocol{accounting.TCP, accounting.UDP}[m.random.IntN(2)], Direction: accounting.Direction(m.random.IntN(2)),
		}
		packets := uint64(m.random.IntN(1000))
		counters := m.counters[m.random.IntN(len(m.counters))]
		counters[key] = counters[key].Plus(accounting.Count{Packets: packets, Bytes: packets * uint64(40+m.random.IntN(1400))})
	}
}

func (m *model) reading() {
	if m.random.IntN(4) == 0 {
		m.table = m.random.IntN(len(m.counters))
	}
	sample := accounting.Sample{Time: m.clock(), Epoch: accounting.Epoch{byte(m.table)}}
	for key, count := range m.counters[m.table] {
		sample.Readings = append(sample.Readings, accounting.Reading{Key: key, Handle: 1, Count: count})
		if gained := count.Minus(m.seen[m.table][key]); gained != (accounting.Count{}) {
			m.pending = append(m.pending, accounting.Gain{Time: m.now, Key: key, Count: gained})
			m.read[key], m.seen[m.table][key] = m.read[key].Plus(gained), count
		}
	}
	m.ledger.Add(&sample)
}

// save saves. An uncertain save is written, but returns an error.
func (m *model) save(uncertain bool) {
	known, saves := slices.Clone(m.store.saved.accounts.list), m.store.saved.saves
	if err := m.store.Save(m.ledger.Changes()); err != nil {
		m.t.Fatal(err)
	}
	m.end()
	for _, gain := range m.pending {
		if _, found := m.owners[gain.Key.Port]; !found {
			m.own(gain.Key.Port, "")
			m.sources[gain.Key.Port] = ""
		}
		calendar := usage.Calendar{Zone: m.zone, MonthDay: m.monthDay}
		for _, period := range periods {
			first, _ := calendar.Bounds(period, gain.Time)
			key := bookedKey{period, first.Unix(), m.owners[gain.Key.Port], gain.Key.Port, gain.Key.Protocol}
			counts := m.booked[key]
			counts[gain.Key.Direction] = counts[gain.Key.Direction].Plus(gain.Count)
			m.booked[key] = counts
		}
	}
	m.pending, m.saved = nil, maps.Clone(m.read)
	for table := range m.seen {
		m.durable[table] = maps.Clone(m.seen[table])
	}
	if uncertain {
		m.store.saved.accounts.list, m.store.saved.saves, m.store.uncertain = known, saves, true
		return
	}
	m.ledger.MarkSaved()
}

func (m *model) pass() {
	switch what := m.random.IntN(300); {
	case m.settable:
		m.now = m.now.Add(time.Duration(m.random.IntN(9*360)) * time.Second)
		if what < 15 { // never by less than is believed soon
			m.wrong = time.Duration(m.random.IntN(7000)-3500) * 24 * time.Hour
			if m.wrong.Abs() < 400*24*time.Hour || m.random.IntN(2) == 0 {
				m.wrong = 0
			}
		}
	case what == 0:
		m.now = m.now.AddDate(1, 0, 0)
	case what < 5:
		m.now = m.now.Add(time.Duration(m.random.IntN(40*24)) * time.Hour)
	default:
		m.now = m.now.Add(time.Duration(m.random.IntN(9*3600)) * time.Second)
	}
}

func (m *model) step() {
	m.pass()
	switch m.random.IntN(40) {
	case 0: // killed
		m.directory = killed(m.t, m.store)
		m.reboot()
		m.start()
	case 1: // stopped, and started with another calendar
		closeStore(m.t, m.store)
		m.reboot()
		if m.settable {
			m.start()
			return
		}
		zone, err := time.LoadLocation(modelZones[m.random.IntN(len(modelZones))])
		if err != nil {
			m.t.Fatal(err)
		}
		m.zone, m.monthDay = zone, 1+m.random.IntN(28)
		m.start()
	case 2:
		m.rename()
	case 3:
		m.handOver()
	case 4:
		m.forget()
	default:
		m.traffic()
		m.reading()
		switch m.random.IntN(4) {
		case 0: // not saved yet, or the save failed
		case 1:
			m.save(true)
		default:
			m.save(false)
		}
	}
}

// compare expects exact usage, to the byte.
func (m *model) compare() {
	wantSound(m.t, m.directory)
	for _, period := range periods {
		if !m.settable {
			m.comparePeriod(period)
		}
	}
	var in, out accounting.Count
	for key, count := range m.saved {
		if key.Direction == accounting.In {
			in = in.Plus(count)
		} else {
			out = out.Plus(count)
		}
	}
	m.compareEarlier()
	for _, by := range []usage.Period{usage.ByMonth, usage.ByTotal} {
		if gotIn, gotOut := sums(recorded(m.t, m.directory, by)); gotIn != in || gotOut != out {
			m.t.Errorf("by %s: got %v in, %v out, want %v and %v", by, gotIn, gotOut, in, out)
		}
	}
}

func (m *model) comparePeriod(period usage.Period) {
	type line struct {
		start    int64
		client   string
		port     uint16
		protocol accounting.Protocol
	}
	want := make(map[line][2]accounting.Count)
	for key, counts := range m.booked {
		if key.period == period {
			l := line{key.start, m.names[key.tenure], key.port, key.protocol}
			if m.gone[key.tenure] {
				l.client, l.port = "", 0
			}
			sum := want[l]
			for direction := range sum {
				sum[direction] = sum[direction].Plus(counts[direction])
			}
			want[l] = sum
		}
	}
	report := recorded(m.t, m.directory, period)
	sorted := slices.IsSortedFunc(report.Rows, func(a, b usage.Row) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
	if !sorted {
		m.t.Errorf("by %s: the rows are not sorted", period)
	}
	for _, row := range report.Rows {
		l := line{row.Start.Unix(), row.Client, row.Port, row.Protocol}
		if got := [2]accounting.Count{row.In, row.Out}; got != want[l] {
			m.t.Errorf("by %s: got %v of %v, want %v", period, got, l, want[l])
		}
		if !row.End.After(row.Start) {
			m.t.Errorf("by %s: got the end of %v at %v", period, l, row.End)
		}
		delete(want, l)
	}
	keep := map[usage.Period]time.Duration{usage.ByHour: m.store.options.KeepHours, usage.ByDay: m.store.options.KeepDays}[period]
	for l := range want {
		if keep == 0 || m.now.Sub(time.Unix(l.start, 0)) < keep {
			m.t.Errorf("by %s: %v is missing: %v", period, l, want[l])
		}
	}
}

// TestUsageIsExact plays years of random events.
func TestUsageIsExact(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed, false)
			for step := range 900 {
				if m.step(); t.Failed() {
					t.Fatalf("after step %d", step)
				}
				if step%150 == 149 {
					m.compare()
				}
			}
			m.compare()
			abandon(m.store)
			t.Logf("from 2023 to %s", m.now.Format(time.DateOnly))
		})
	}
}

// TestUsageFollowsTheClock plays weeks in which somebody sets the clock to other
// years and back. In the end all usage is where it belongs, within the hour and the
// time that a machine was off.
func TestUsageFollowsTheClock(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed, true)
			began := m.now
			m.traffic()
			m.reading()
			m.save(false)
			abandon(m.store)
			m.boots, m.booted = m.boots+1, m.now
			m.start()
			for step := range 300 {
				if m.step(); t.Failed() {
					t.Fatalf("after step %d", step)
				}
				if step%100 == 99 {
					m.compare()
				}
			}
			m.wrong = 0
			for range 10 { // in one of which some traffic is read
				m.traffic()
				m.reading()
				m.save(false)
			}
			m.compare()
			for _, period := range periods {
				for _, row := range recorded(t, m.directory, period).Rows {
					if row.End.Before(began) || row.Start.After(m.now) {
						t.Errorf("by %s: got usage of %s, want none before %s or after %s: %v", period, row.Start, began, m.now, row)
					}
				}
			}
			abandon(m.store)
		})
	}
}
