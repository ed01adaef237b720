package accounting

import "slices"

// Ledger turns raw counter values into totals. A total only ever grows: the
// ledger adds what a counter has gained since it was last read, or all of its
// value if it is another counter than before or was reset. What a loaded counter
// begins with is not traffic. Ledger is not safe for concurrent use.
type Ledger struct {
	in, out  Count
	accounts map[Key]*account
	sample   uint64 // number of the last one
	dirty    []*account
	epoch    Epoch // of the last sample
	gains    gains // since the last save
}

type account struct {
	Account
	seen  uint64 // number of the last sample it was in
	dirty bool
	gain  int // index of its newest gain since the last save, plus 1; 0: none
}

// Posting is what posting a sample showed beside the totals.
type Posting struct {
	// NewTable reports whether the table is another one than that of the sample
	// before, or the first one.
	NewTable bool
	Resets   []Reset
	Loaded   []Key // counters that somebody loaded since the sample before
}

// Reset is a counter that somebody set back: its value was Was at the last
// reading and Is now. What it counted between that reading and the reset is not
// known.
type Reset struct {
	Key     Key
	Was, Is Count
}

// NewLedger returns a ledger that goes on from what was saved.
func NewLedger(saved State) *Ledger {
	l := &Ledger{in: saved.In, out: saved.Out, accounts: make(map[Key]*account, len(saved.Accounts))}
	for _, a := range saved.Accounts {
		l.accounts[a.Key] = &account{Account: a}
	}
	return l
}

// Add posts a sample. In the steady state it does not allocate.
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

// Total returns the total of a counter and whether the last sample had it.
func (l *Ledger) Total(key Key) (total Count, read bool) {
	a := l.accounts[key]
	if a == nil {
		return Count{}, false
	}
	return a.Total, a.seen == l.sample
}

// Sum returns the totals of all ports together, including removed ones.
func (l *Ledger) Sum() (in, out Count) { return l.in, l.out }

// Changes returns what has changed since [Ledger.MarkSaved] was last called.
func (l *Ledger) Changes() State {
	state := State{In: l.in, Out: l.out, Accounts: make([]Account, len(l.dirty)), Gains: slices.Clone(l.gains.list), Read: l.sample > 0}
	for i, a := range l.dirty {
		state.Accounts[i] = a.Account
	}
	return state
}

// MarkSaved records that what Changes returned is durable. Nothing may be posted
// in between.
func (l *Ledger) MarkSaved() {
	for _, a := range l.dirty {
		a.dirty, a.gain = false, 0
	}
	l.dirty = l.dirty[:0]
	l.gains.reset()
}
