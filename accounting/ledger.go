package accounting

import "slices"

// Ledger turns raw counter values into totals. A total only ever grows: the
// ledger adds what a counter has gained since it was last read, or all of it if
// it is another counter than before or was reset. Ledger is not safe for
// concurrent use.
type Ledger struct {
	in, out  Count
	accounts map[Key]*account
	sample   uint64 // number of the last one
	unsaved  []*account
	epoch    Epoch // of the last sample
	gains    gains // since the last save
}

type account struct {
	Account
	seen    uint64 // number of the last sample it was in
	unsaved bool
	gain    int // index of its newest gain since the last save, plus 1; 0: none
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

// Add posts a sample. It returns the counters that were reset since the last
// one, and whether the table is another than that of the sample before, or the
// first. In the steady state it does not allocate.
func (l *Ledger) Add(sample *Sample) (resets []Reset, newTable bool) {
	l.sample++
	newTable = sample.Epoch != l.epoch
	l.epoch = sample.Epoch
	for i := range sample.Readings {
		if reset, was := l.post(&sample.Readings[i], sample); was {
			resets = append(resets, reset)
		}
	}
	if l.gains.full(len(l.accounts)) {
		l.gains.merge(func(key Key) *int { return &l.accounts[key].gain })
	}
	return resets, newTable
}

func (l *Ledger) post(reading *Reading, sample *Sample) (reset Reset, was bool) {
	epoch := sample.Epoch
	a := l.accounts[reading.Key]
	if a == nil {
		a = &account{Account: Account{Key: reading.Key}}
		l.accounts[reading.Key] = a
	}
	a.seen = l.sample
	same := a.Epoch == epoch && a.Handle == reading.Handle
	if same && a.Last == reading.Count {
		return Reset{}, false
	}
	gained := reading.Count
	if same {
		if gained.Packets >= a.Last.Packets && gained.Bytes >= a.Last.Bytes {
			gained.Packets -= a.Last.Packets
			gained.Bytes -= a.Last.Bytes
		} else {
			reset, was = Reset{reading.Key, a.Last, reading.Count}, true
		}
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
	if !a.unsaved {
		a.unsaved = true
		l.unsaved = append(l.unsaved, a)
	}
	return reset, was
}

// Total returns the total of a counter and whether the last sample had it.
func (l *Ledger) Total(key Key) (total Count, read bool) {
	a := l.accounts[key]
	if a == nil {
		return Count{}, false
	}
	return a.Total, a.seen == l.sample
}

// Sum returns the totals of all ports together, those that are gone included.
func (l *Ledger) Sum() (in, out Count) { return l.in, l.out }

// Unsaved returns what has changed since [Ledger.Saved] was last called.
func (l *Ledger) Unsaved() State {
	state := State{In: l.in, Out: l.out, Accounts: make([]Account, len(l.unsaved)), Gains: slices.Clone(l.gains.list)}
	for i, a := range l.unsaved {
		state.Accounts[i] = a.Account
	}
	return state
}

// Saved says that what Unsaved returned is safe. Nothing may be posted in
// between.
func (l *Ledger) Saved() {
	for _, a := range l.unsaved {
		a.unsaved, a.gain = false, 0
	}
	l.unsaved = l.unsaved[:0]
	l.gains.reset()
}
