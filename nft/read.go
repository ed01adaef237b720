package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

const (
	// dumpLimit is how many counters one dump is the fastest way to read. The
	// kernel walks its list from the head for each datagram of a dump, which
	// costs more than single requests beyond about this many.
	dumpLimit = 80_000
	// singlesPerSend is how many single requests go out at once: their answers
	// have to fit into the socket's buffer.
	singlesPerSend = 256
	singlesBuffer  = 8 << 20
)

// reader reads all counters of the table. It knows which ones exist, so that an
// interrupted dump can be told from a whole one, and keeps what it needs from
// one reading to the next, so that a reading does not allocate.
type reader struct {
	conn *conn

	// expected are the counters known to exist, in the order in which the
	// kernel lists them; place finds a key in it, and seen says in which
	// attempt it was last met.
	expected []accounting.Key
	place    map[accounting.Key]int
	seen     []uint32
	attempt  uint32

	// Of the attempt under way.
	sample *accounting.Sample
	cursor int  // where in expected the next counter is likely to be
	met    int  // expected counters met
	extra  int  // counters met beyond those
	twice  bool // a counter was met twice

	generation uint16 // of the last answer
	identified bool   // table is what it was at generation checked
	checked    uint16
	table      tableInfo

	interrupted uint64 // attempts that the kernel flagged, of all time
	dumpRequest []byte
	visit       func(message) error
}

// Read fills sample with every counter of the table. It fails with
// accounting.ErrNoTable where there is no table, with accounting.ErrRestored
// where it was loaded from a file (the sample is filled then), and with
// ErrForeignTable where it is not ours.
//
// A dump that the kernel flagged as interrupted is only taken if every counter
// known to exist came exactly once. Else it is repeated, and what is missing
// after the last attempt is asked for singly. So is what is missing in a dump
// without the flag: the kernel raises it by the ruleset's generation, but moves
// objects in its list shortly before and after that changes.
func (t *Table) Read(sample *accounting.Sample) error {
	return t.reader.read(sample)
}

func (r *reader) read(sample *accounting.Sample) error {
	r.sample = sample
	defer func() { r.sample = nil }()
	for range attempts {
		interrupted, err := r.dump()
		if err != nil {
			return readError("reading the counters", err)
		}
		same, err := r.identify()
		if err != nil {
			return err
		}
		if !same {
			continue // the table was made while it was read, or is a new one
		}
		if r.met == len(r.expected) && (!interrupted || !r.twice) {
			return r.accept()
		}
		if !interrupted {
			break
		}
	}
	if err := r.complete(); err != nil {
		return err
	}
	return r.accept()
}

// dump reads all counters into the sample.
func (r *reader) dump() (interrupted bool, err error) {
	r.start()
	if len(r.expected) > dumpLimit && r.identified && r.generation == r.checked {
		return false, r.singles(r.expected)
	}
	if r.dumpRequest == nil {
		r.dumpRequest = counterRequest()
		r.visit = r.take
	}
	if interrupted, err = r.conn.dump(r.dumpRequest, r.visit); interrupted {
		r.interrupted++
	}
	return interrupted, err
}

func counterRequest() []byte {
	return request(getObject, unix.NLM_F_DUMP, func(e *encoder) {
		e.text(unix.NFTA_OBJ_TABLE, TableName)
		e.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	})
}

func (r *reader) start() {
	r.attempt++
	r.cursor, r.met, r.extra, r.twice = 0, 0, 0, false
	r.sample.Readings = r.sample.Readings[:0]
}

// take adds one counter to the sample.
func (r *reader) take(m message) error {
	r.generation = m.generation()
	reading, ok := decodeCounter(m.payload())
	if !ok {
		return nil // not one of ours
	}
	place, known := r.cursor, r.cursor < len(r.expected) && r.expected[r.cursor] == reading.Key
	if !known {
		place, known = r.place[reading.Key]
	}
	switch {
	case !known:
		r.extra++
	case r.seen[place] == r.attempt:
		r.twice = true
		return nil
	default:
		r.seen[place] = r.attempt
		r.met++
		r.cursor = place + 1
	}
	r.sample.Readings = append(r.sample.Readings, reading)
	return nil
}

// identify finds out which table was read. same is false when it is another
// than before, so that the sample may be of either.
func (r *reader) identify() (same bool, err error) {
	if r.identified && r.generation == r.checked && len(r.sample.Readings) > 0 {
		return true, nil
	}
	info, generation, err := r.conn.getTable()
	if err != nil {
		return false, err
	}
	if info == nil {
		r.identified = false
		return false, accounting.ErrNoTable
	}
	if !info.marked {
		r.identified = false
		return false, ErrForeignTable
	}
	same = r.identified && info.handle == r.table.handle && info.epoch == r.table.epoch
	if len(r.sample.Readings) == 0 {
		r.generation = generation // no answer carried it
	}
	r.identified, r.checked, r.table = true, r.generation, *info
	return same, nil
}

// accept makes the sample the last word on which counters exist.
func (r *reader) accept() error {
	r.sample.Epoch = r.table.epoch
	if r.extra > 0 || r.met != len(r.expected) || r.reordered() {
		r.remember()
	}
	if r.table.epoch == (accounting.Epoch{}) {
		return accounting.ErrRestored
	}
	return nil
}

// reordered tells whether the kernel's order is another than expected.
func (r *reader) reordered() bool {
	for i := range r.sample.Readings {
		if r.sample.Readings[i].Key != r.expected[i] {
			return true
		}
	}
	return false
}

// remember takes the sample's counters for those that exist, each once.
func (r *reader) remember() {
	r.expected = r.expected[:0]
	r.place = make(map[accounting.Key]int, len(r.sample.Readings))
	kept := r.sample.Readings[:0]
	for _, reading := range r.sample.Readings {
		if _, twice := r.place[reading.Key]; twice {
			continue
		}
		r.place[reading.Key] = len(r.expected)
		r.expected = append(r.expected, reading.Key)
		kept = append(kept, reading)
	}
	r.sample.Readings = kept
	r.seen = make([]uint32, len(r.expected))
	r.attempt = 0
}

// expect adds counters that were installed.
func (r *reader) expect(keys []accounting.Key) {
	if r.place == nil {
		r.place = make(map[accounting.Key]int, len(keys))
	}
	for _, key := range keys {
		if _, known := r.place[key]; !known {
			r.place[key] = len(r.expected)
			r.expected = append(r.expected, key)
			r.seen = append(r.seen, 0)
		}
	}
}

// forget takes counters out that were deleted.
func (r *reader) forget(keys []accounting.Key) {
	gone := make(map[accounting.Key]bool, len(keys))
	for _, key := range keys {
		gone[key] = true
	}
	kept := r.expected[:0]
	clear(r.place)
	for _, key := range r.expected {
		if !gone[key] {
			r.place[key] = len(kept)
			kept = append(kept, key)
		}
	}
	r.expected = kept
	r.seen = r.seen[:len(kept)]
}

// complete asks singly for the counters that the last attempt did not meet.
func (r *reader) complete() error {
	if !r.identified {
		return fmt.Errorf("reading the counters: %w", ErrInterrupted)
	}
	var lost []accounting.Key
	for place, key := range r.expected {
		if r.seen[place] != r.attempt {
			lost = append(lost, key)
		}
	}
	before := r.table
	if err := r.singles(lost); err != nil {
		return readError("reading the counters", err)
	}
	if _, err := r.identify(); err != nil {
		return err
	}
	if r.table != before {
		return fmt.Errorf("reading the counters: %w", ErrInterrupted)
	}
	return nil
}

// singles asks for each of keys with a request of its own. One that is gone is
// left out.
func (r *reader) singles(keys []accounting.Key) error {
	e := &encoder{}
	var name []byte
	for len(keys) > 0 {
		part := keys[:min(singlesPerSend, len(keys))]
		keys = keys[len(part):]
		e.buffer, e.count = e.buffer[:0], 0
		for _, key := range part {
			name = append(appendCounterName(name[:0], key), 0)
			e.begin(getObject, 0, familyInet, 0)
			e.text(unix.NFTA_OBJ_TABLE, TableName)
			e.bytes(unix.NFTA_OBJ_NAME, name)
			e.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
			e.end()
		}
		err := r.conn.get(e.buffer, len(part), r.take, func(_ uint32, number unix.Errno) error {
			if errors.Is(number, unix.ENOENT) {
				return nil
			}
			return number
		})
		if err != nil {
			return err
		}
	}
	return nil
}
