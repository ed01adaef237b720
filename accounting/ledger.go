package accounting

// Ledger turns raw counter values into totals, which only grow. It adds what a
// counter has gained since its last reading, even if another table was read in
// between, or the whole value of a counter that is new or was reset. The initial
// value of a loaded counter is not added, since it is not traffic. Ledger is not
// safe for concurrent use.
type Ledger struct {
	in, out  Count
	accounts []account     // without pointers: the garbage collector skips them
	place    KeyMap[int32] // of a key's account in accounts, plus 1
	epochs   Epochs
	epoch    uint32 // number of the last sample's epoch
	sample   uint32 // number of the last sample
	changed  int    // accounts that have changed since the last save
	gains    gains  // since the last save
	formers  Formers
	left     map[formerKey]bool // formers that have changed since the last save
}

// account is an Account in few bytes.
type account struct {
	total, last Count
	handle      uint64
	key         Key
	epoch       uint32 // its number; 0: never read
	seen        uint32 // number of the last sample that had it
	gain        int32  // place of its newest gain since the last save, plus 1; 0: none
	changed     bool   // since the last save
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
	l := &Ledger{in: saved.In, out: saved.Out, accounts: make([]account, 0, len(saved.Accounts)), left: make(map[formerKey]bool)}
	for _, a := range saved.Accounts {
		place := l.open(a.Key)
		l.accounts[place] = account{key: a.Key, total: a.Total, last: a.Last, epoch: l.epochs.Number(a.Epoch), handle: a.Handle}
	}
	for _, former := range saved.Formers {
		l.formers.Set(former.Key, l.epochs.Number(former.Epoch), former.Handle, former.Last)
	}
	return l
}

// open returns the place of the key's account, which it creates if it does not
// exist.
func (l *Ledger) open(key Key) int32 {
	place := l.place.At(key)
	if *place == 0 {
		l.accounts = append(l.accounts, account{key: key})
		*place = int32(len(l.accounts))
	}
	return *place - 1
}

// Add adds a sample to the totals. In the steady state it does not allocate.
func (l *Ledger) Add(sample *Sample) (posting Posting) {
	l.sample++
	epoch := l.epochs.Number(sample.Epoch)
	posting.NewTable = epoch != l.epoch
	l.epoch = epoch
	if len(l.accounts) == 0 {
		l.accounts = make([]account, 0, len(sample.Readings)) // without the room that append would leave
	}
	for i := range sample.Readings {
		reading := &sample.Readings[i]
		a := &l.accounts[l.open(reading.Key)]
		a.seen = l.sample
		if a.epoch != epoch || a.handle != reading.Handle || a.last != reading.Count {
			l.post(a, reading, sample, &posting)
		}
	}
	if posting.NewTable {
		l.formers.Trim(MaxFormers) // not before all counters of a table that returns were found
	}
	if l.gains.full(len(l.accounts)) {
		l.gains.merge(func(key Key) *int32 { return &l.accounts[l.open(key)].gain })
	}
	return posting
}

// post posts a reading that differs from the last one of its account.
func (l *Ledger) post(a *account, reading *Reading, sample *Sample, posting *Posting) {
	last, same := a.last, a.epoch == l.epoch && a.handle == reading.Handle
	if a.epoch != 0 && a.epoch != l.epoch {
		last, same = l.formers.get(a.key, l.epoch, reading.Handle)
		l.formers.Set(a.key, a.epoch, a.handle, a.last)
		l.left[formerKey{a.key, a.epoch}] = true
	}
	gained := reading.Count
	switch {
	case !same && reading.Loaded:
		gained = Count{}
		posting.Loaded = append(posting.Loaded, reading.Key)
	case !same:
	case gained.Packets < last.Packets || gained.Bytes < last.Bytes:
		posting.Resets = append(posting.Resets, Reset{reading.Key, last, reading.Count})
	default:
		gained = gained.Minus(last)
	}
	a.total = a.total.Plus(gained)
	if reading.Key.Direction == In {
		l.in = l.in.Plus(gained)
	} else {
		l.out = l.out.Plus(gained)
	}
	a.last, a.epoch, a.handle = reading.Count, l.epoch, reading.Handle
	if gained != (Count{}) {
		a.gain = l.gains.add(a.gain, Gain{sample.Time, reading.Key, gained})
	}
	if !a.changed {
		a.changed = true
		l.changed++
	}
}

// Total returns the total of a counter, and whether the last sample had it.
func (l *Ledger) Total(key Key) (total Count, read bool) {
	place := l.place.Get(key)
	if place == 0 {
		return Count{}, false
	}
	a := &l.accounts[place-1]
	return a.total, a.seen == l.sample
}

// Sum returns the totals of all ports together, including removed ones.
func (l *Ledger) Sum() (in, out Count) { return l.in, l.out }

// dirty reports whether an account has changed since the last call of MarkSaved.
func (l *Ledger) dirty() bool { return l.changed > 0 }

// gained reports whether there was traffic since the last call of MarkSaved.
func (l *Ledger) gained() bool { return len(l.gains.list) > 0 }

// Changes returns what has changed since the last call of [Ledger.MarkSaved].
func (l *Ledger) Changes() State {
	state := State{In: l.in, Out: l.out, Read: l.sample > 0}
	if !l.dirty() {
		return state
	}
	state.Accounts = make([]Account, 0, l.changed)
	for key, place := range l.place.All() {
		if a := &l.accounts[place-1]; a.changed {
			state.Accounts = append(state.Accounts, Account{Key: key, Total: a.total, Last: a.last, Epoch: l.epochs.Epoch(a.epoch), Handle: a.handle})
		}
	}
	state.Gains = l.gains.sorted()
	for key := range l.left {
		former, known := l.formers.of[key]
		if !known { // forgotten
			delete(l.left, key)
			continue
		}
		state.Formers = append(state.Formers, Former{key.key, former.last, l.epochs.Epoch(key.epoch), former.handle})
	}
	return state
}

// MarkSaved records that the result of Changes is durable. Add must not be called
// between Changes and MarkSaved.
func (l *Ledger) MarkSaved() {
	if !l.dirty() {
		return
	}
	for i := range l.accounts {
		l.accounts[i].changed, l.accounts[i].gain = false, 0
	}
	l.changed = 0
	clear(l.left)
	l.gains.reset()
}
