package nft

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

const (
	// dumpLimit is the number of counters up to which one dump is the fastest
	// way to read them. The kernel walks its list from the head for each
	// datagram of a dump, which costs more than single requests beyond about
	// this many.
	dumpLimit = 45_000
	// guessLimit is the number of counters from which on it is faster to request
	// every counter that can exist than to find out by a dump which ones do.
	guessLimit = 80_000
	// singlesPerSend is the number of single requests sent at once: their
	// answers have to fit into the socket's receive buffer.
	singlesPerSend = 256
)

// reader reads all counters of the table. It knows which ones exist, so that a
// dump that lacks some is noticed, and keeps what it needs from one reading to
// the next, so that a reading does not allocate.
type reader struct {
	conn *conn

	// expected are the counters known to exist, in the order in which the
	// kernel lists them. A deleted one leaves the zero key, a gap, until the next
	// reading. place is 1 plus the index of a key in it. seen holds, by that
	// index, the attempt that last found the counter.
	expected []accounting.Key
	gaps     int
	place    accounting.KeyMap[int32]
	seen     []uint32
	attempt  uint32

	// State of the current attempt.
	sample    *accounting.Sample
	cursor    int  // where in expected the next counter is likely to be
	met       int  // expected counters found
	extra     int  // other counters found
	reordered bool // a counter was not the next one of expected
	single    bool // only the expected counters were requested
	messages  int
	first     uint16 // the generation at which the first message was written

	generation uint32    // of the ruleset after the last attempt
	table      tableInfo // that the last attempt read; zero before the first one
	// settled reports whether expected was exactly what existed at the
	// generation.
	settled bool

	dumpRequest []byte
	requests    encoder // of single counters
	name        []byte
	visit       func(message) error

	structures            int // chains and maps in a table without anything of others
	dumpLimit, guessLimit int // variables, for the tests
}

func newReader(c *conn) *reader {
	r := &reader{conn: c, dumpRequest: counterRequest(), dumpLimit: dumpLimit, guessLimit: guessLimit}
	r.visit = r.add
	return r
}

// known returns the number of counters known to exist.
func (r *reader) known() int { return len(r.expected) - r.gaps }

// Read fills sample with every counter of the table. It fails with
// accounting.ErrNoTable if there is no table, with accounting.ErrRestored if the
// table was loaded from a file (the sample is filled then), and with
// ErrForeignTable if it is not ours.
//
// Known counters that a dump lacks are requested one by one. The kernel's flag
// for interrupted dumps is ignored: it depends on the ruleset's generation, but
// the kernel moves objects in its list shortly before and after the generation
// changes.
func (t *Table) Read(sample *accounting.Sample) error {
	return t.reader.read(sample)
}

func (r *reader) read(sample *accounting.Sample) error {
	r.sample = sample
	defer func() { r.sample = nil }()
	for range attempts {
		if err := r.readAll(); err != nil {
			return readError("reading the counters", err)
		}
		same, err := r.identify()
		if err != nil {
			return err
		}
		if r.single && r.met < r.known() {
			r.remember() // another counter may be there instead of the missing one
			continue
		}
		if same && r.met < r.known() {
			same, err = r.complete()
			if err != nil {
				return err
			}
		}
		if same {
			return r.finish()
		}
	}
	return fmt.Errorf("reading the counters: %w", ErrInterrupted)
}

// readAll reads the counters into the sample.
func (r *reader) readAll() error {
	r.start()
	if r.known() > r.dumpLimit || !r.table.exists() {
		_, table, err := r.conn.getTable()
		if err != nil {
			return err
		}
		r.single = r.known() > r.dumpLimit && r.knowsAllOf(table)
		r.table = table
		r.sample.Readings = slices.Grow(r.sample.Readings, int(table.use))
		switch {
		case r.single:
			return r.singles(r.expected)
		case int(table.use) > r.guessLimit:
			return r.singles(everyKey())
		}
	}
	return r.conn.dump(r.dumpRequest, r.visit)
}

// knowsAllOf reports whether the expected counters are all that the table has, if
// it has each of them. It relies on the table's chains and maps being complete:
// while some are missing, as many new counters go unnoticed.
func (r *reader) knowsAllOf(table tableInfo) bool {
	return int(table.use) == r.known()+r.structures
}

func counterRequest() []byte {
	return request(msgGetObject, unix.NLM_F_DUMP, func(e *encoder) {
		e.str(unix.NFTA_OBJ_TABLE, TableName)
		e.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	})
}

func (r *reader) start() {
	r.attempt++
	r.cursor, r.met, r.extra = 0, 0, 0
	r.reordered, r.messages, r.settled, r.single = false, 0, false, false
	r.sample.Readings = r.sample.Readings[:0]
}

// add adds one counter to the sample.
func (r *reader) add(m message) error {
	if r.messages == 0 {
		r.first = m.generation()
	}
	r.messages++
	reading, ok := decodeCounter(m.payload())
	if !ok {
		return nil // not one of ours
	}
	place := r.cursor
	if place == len(r.expected) || r.expected[place] != reading.Key {
		r.reordered = true
		place = int(r.place.Get(reading.Key)) - 1
	}
	switch {
	case place < 0:
		r.extra++
	case r.seen[place] == r.attempt:
		return nil // a dump can list a counter twice
	default:
		r.seen[place] = r.attempt
		r.met++
		r.cursor = place + 1
	}
	r.sample.Readings = append(r.sample.Readings, reading)
	return nil
}

// identify looks up which table was read. same reports whether it is the table
// of the previous lookup: a table with the same handle before and after a reading
// existed throughout. Otherwise the sample may be of either table.
func (r *reader) identify() (same bool, err error) {
	before := r.table
	if r.generation, r.table, err = r.conn.getTable(); err != nil {
		return false, err
	}
	switch {
	case !r.table.exists():
		return false, accounting.ErrNoTable
	case !r.table.marked:
		return false, ErrForeignTable
	}
	return r.table.handle == before.handle, nil
}

// finish completes the sample and records which counters exist.
func (r *reader) finish() error {
	r.sample.Epoch, r.sample.Generation = r.table.epoch, r.generation
	r.settled = r.messages > 0 && r.first == uint16(r.generation)
	if r.extra > 0 || r.reordered || r.met != len(r.expected) {
		r.remember()
	}
	if !r.table.ours() {
		return accounting.ErrRestored
	}
	return nil
}

// remember makes the sample's counters the expected ones, each once.
func (r *reader) remember() {
	for _, key := range r.expected {
		if key != (accounting.Key{}) {
			*r.place.At(key) = 0
		}
	}
	r.expected, r.gaps = slices.Grow(r.expected[:0], len(r.sample.Readings)), 0
	kept := r.sample.Readings[:0]
	for _, reading := range r.sample.Readings {
		if place := r.place.At(reading.Key); *place == 0 {
			r.expected = append(r.expected, reading.Key)
			*place = int32(len(r.expected))
			kept = append(kept, reading)
		}
	}
	r.sample.Readings = kept
	r.seen = slices.Grow(r.seen[:0], len(kept))[:len(kept)]
	clear(r.seen)
	r.attempt = 0
}

// begin makes a table the last one that was read. It was just created, without
// counters.
func (r *reader) begin(table tableInfo) {
	r.table, r.settled = table, false
	r.forget(r.expected)
	r.expected, r.seen, r.gaps = r.expected[:0], r.seen[:0], 0
}

// expect adds installed counters to the expected ones.
func (r *reader) expect(keys []accounting.Key) {
	for _, key := range keys {
		if place := r.place.At(key); *place == 0 {
			r.expected = append(r.expected, key)
			r.seen = append(r.seen, 0)
			*place = int32(len(r.expected))
		}
	}
}

// forget removes deleted counters from the expected ones.
func (r *reader) forget(keys []accounting.Key) {
	for _, key := range keys {
		if place := r.place.Get(key); place > 0 {
			r.expected[place-1] = accounting.Key{}
			r.gaps++
			*r.place.At(key) = 0
		}
	}
}

// complete requests the counters that the last attempt did not find. It returns
// the result of identify.
func (r *reader) complete() (same bool, err error) {
	var lost []accounting.Key
	for place, key := range r.expected {
		if key != (accounting.Key{}) && r.seen[place] != r.attempt {
			lost = append(lost, key)
		}
	}
	if err := r.singles(lost); err != nil {
		return false, readError("reading the counters", err)
	}
	return r.identify()
}

// singles requests each of keys by itself. Missing ones are omitted.
func (r *reader) singles(keys []accounting.Key) error {
	e := &r.requests
	for len(keys) > 0 {
		part := keys[:min(singlesPerSend, len(keys))]
		keys = keys[len(part):]
		e.buffer, e.count = e.buffer[:0], 0
		for _, key := range part {
			if key == (accounting.Key{}) {
				continue // a gap of expected
			}
			r.name = append(key.AppendText(r.name[:0]), 0)
			e.begin(msgGetObject, 0, familyInet, 0)
			e.str(unix.NFTA_OBJ_TABLE, TableName)
			e.bytes(unix.NFTA_OBJ_NAME, r.name)
			e.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
			e.end()
		}
		if e.count == 0 {
			continue
		}
		if err := r.conn.get(e.buffer, e.count, r.visit, ignoreMissing); err != nil {
			return err
		}
	}
	return nil
}
