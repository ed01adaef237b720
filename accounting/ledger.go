package accounting

import "slices"

// Ledger turns raw counter values into totals, which only grow. It adds what a
// counter has gained since the last reading, or the whole value of a counter that
// is new or was reset. The initial value of a loaded counter is not added, since
// it is not traffic. Ledger is not safe for concurrent use.
type Ledger struct {
	in, out  Count
	accounts map[Key]*account
	sample   uint64 // number of the last sample
	dirty    []*account
	epoch    Epoch // of the last sample
	gains    gains // since the last save
}

type account struct {
	Account
	seen  uint64 // number of the last sample that had it
	dirty bool   // changed since the last save
	gain  int    // index of its newest gain since the last save, plus 1; 0: none
}

// Posting is what a sample revealed about the table and its counters.
type Posting struct {
	// NewTable reports whether the sample is of another table than the sample
	// before, or is the first one.
	NewTable bool
	Resets   []Reset // counters that somebody reset since the sample before
	Loaded   []Key   // counters that somebody loaded since the sample before
}

// Reset is a counter that somebody reset. Its value was Was at the reading before
// and is Is now. What it counted between that reading and the reset is lost.
type Reset struct {
	Key     Key
	Was, Is Count
}

// NewLedger returns a ledger that continues from the saved state.
func NewLedger(saved State) *Ledger {
	l := &Ledger{in: saved.In, out: saved.Out, accounts: make(map[Key]*account, len(saved.Accounts))}
	for _, a := range saved.Accounts {
		l.accounts[a.Key] = &account{Account: a}
	}
	return l
}

// Add adds a sample to the totals. In the steady state it does not allocate.
func (l *Ledger) Add(sample *Sample) (posting Posting) {
	l.sample++
	posting.NewTable = sample.Epoch != l.epoch
	l.epoch = sample.Epoch
	for i := range sample.Readings {
		l.post(&sample.Readings[i], sample, &posting)
	}
	if l.gains.full(len(l.accounts)) {
		l.gains.merge(func(key Key) *int { return &l.accounts[key].gain })
	}
	return posting
}

func (l *Ledger) post(reading *Reading, sample *Sample, posting *Posting) {
	epoch := sample.Epoch
	a := l.accounts[reading.Key]
	if a == nil {
		a = &account{Account: Account{Key: reading.Key}}
		l.accounts[reading.Key] = a
	}
	a.seen = l.sample
	same := a.Epoch == epoch && a.Handle == reading.Handle
	if same && a.Last == reading.Count {
		return
	}
	gained := reading.Count
	switch {
	case !same && reading.Loaded:
		gained = Count{}
		posting.Loaded = append(posting.Loaded, reading.Key)
	case !same:
	case gained.Packets < a.Last.Packets || gained.Bytes < a.Last.Bytes:
		posting.Resets = append(posting.Resets, Reset{reading.Key, a.Last, reading.Count})
	default:
		gained = gained.minus(a.Last)
	}
	a.Total = a.Total.Plus(gained)
	if reading.Key.Direction == In {
		l.in = l.in.Plus(gained)
	} else {
		l.out = l.out.Plus(gained)
	}
	a.Last, a.Epoch, a.Handle = reading.Count, epoch, reading.Handle
	if gained != (Count{}) {
		a.gain = l.gains.add(a.gain, Gain{sample.Time, reading.Key, gained})
	}
	if !a.dirty {
		a.dirty = true
		l.dirty = append(l.dirty, a)
	}
}

// Total returns the total of a counter, and whether the last sample had it.
func (l *Ledger) Total(key Key) (total Count, read bool) {
	a := l.accounts[key]
	if a == nil {
		return Count{}, false
	}
	return a.Total, a.seen == l.sample
}

// Sum returns the totals of all ports together, including removed ones.
func (l *Ledger) Sum() (in, out Count) { return l.in, l.out }

// Changes returns what has changed since the last call of [Ledger.MarkSaved].
func (l *Ledger) Changes() State {
	state := State{In: l.in, Out: l.out, Accounts: make([]Account, len(l.dirty)), Gains: slices.Clone(l.gains.list), Read: l.sample > 0}
	for i, a := range l.dirty {
		state.Accounts[i] = a.Account
	}
	return state
}

// MarkSaved records that the result of Changes is durable. Add must not be called
// between Changes and MarkSaved.
func (l *Ledger) MarkSaved() {
	for _, a := range l.dirty {
		a.dirty, a.gain = false, 0
	}
	l.dirty = l.dirty[:0]
	l.gains.reset()
}
