package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

const (
	// dumpLimit is the number of counters up to which one dump is the fastest
	// way to read them. The kernel walks its list from the head for each
	// datagram of a dump, which costs more than single requests beyond about
	// this many.
	dumpLimit = 80_000
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
	// kernel lists them. place is the index of a key in it. seen holds, by that
	// index, the attempt that last found the counter.
	expected []accounting.Key
	place    map[accounting.Key]int
	seen     []uint32
	attempt  uint32

	// State of the current attempt.
	sample *accounting.Sample
	cursor int // where in expected the next counter is likely to be
	met    int // expected counters found
	extra  int // other counters found

	generation uint32    // of the ruleset after the last attempt
	table      tableInfo // that the last attempt read; zero before the first one

	dumpRequest []byte
	visit       func(message) error
}

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
		if same && r.met < len(r.expected) {
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
	if len(r.expected) > dumpLimit {
		generation, table, err := r.conn.getTable()
		if err != nil {
			return err
		}
		if generation == r.generation && table == r.table {
			return r.singles(r.expected) // no counter was added since the last dump
		}
	}
	if r.dumpRequest == nil {
		r.dumpRequest = counterRequest()
		r.visit = r.add
	}
	return r.conn.dump(r.dumpRequest, r.visit)
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
	r.sample.Readings = r.sample.Readings[:0]
}

// add adds one counter to the sample.
func (r *reader) add(m message) error {
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
	r.sample.Epoch = r.table.epoch
	if r.extra > 0 || r.met != len(r.expected) || r.reordered() {
		r.remember()
	}
	if !r.table.ours() {
		return accounting.ErrRestored
	}
	return nil
}

// reordered reports whether the kernel's order is not the expected one.
func (r *reader) reordered() bool {
	for i := range r.sample.Readings {
		if r.sample.Readings[i].Key != r.expected[i] {
			return true
		}
	}
	return false
}

// remember makes the sample's counters the expected ones, each once.
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

// expect adds installed counters to the expected ones.
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

// forget removes deleted counters from the expected ones.
func (r *reader) forget(keys []accounting.Key) {
	deleted := make(map[accounting.Key]bool, len(keys))
	for _, key := range keys {
		deleted[key] = true
	}
	kept := r.expected[:0]
	clear(r.place)
	for _, key := range r.expected {
		if !deleted[key] {
			r.place[key] = len(kept)
			kept = append(kept, key)
		}
	}
	r.expected = kept
	r.seen = r.seen[:len(kept)]
}

// complete requests the counters that the last attempt did not find. It returns
// the result of identify.
func (r *reader) complete() (same bool, err error) {
	var lost []accounting.Key
	for place, key := range r.expected {
		if r.seen[place] != r.attempt {
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
	e := &encoder{}
	var name []byte
	for len(keys) > 0 {
		part := keys[:min(singlesPerSend, len(keys))]
		keys = keys[len(part):]
		e.buffer, e.count = e.buffer[:0], 0
		for _, key := range part {
			name = append(key.AppendText(name[:0]), 0)
			e.begin(msgGetObject, 0, familyInet, 0)
			e.str(unix.NFTA_OBJ_TABLE, TableName)
			e.bytes(unix.NFTA_OBJ_NAME, name)
			e.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
			e.end()
		}
		err := r.conn.get(e.buffer, len(part), r.add, func(errno unix.Errno) error {
			if errno == unix.ENOENT {
				return nil
			}
			return errno
		})
		if err != nil {
			return err
		}
	}
	return nil
}
