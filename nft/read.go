package nft

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
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
	// requestsPerDatagram is the number of single requests sent at once: their
	// answers have to fit into the socket's receive buffer.
	requestsPerDatagram = 256
)

// reader is what readings need besides what is known of the table. It is kept from one
// to the next, so that a reading does not allocate.
type reader struct {
	readState
	dumpRequest []byte
	singles     encoder // requests of single counters
	name        []byte
	visit       func(netlink.Message) error

	dumpLimit, guessLimit int // variables, for the tests
}

// readState is one attempt to read all counters, as far as it got.
type readState struct {
	sample    *accounting.Sample
	way       readingWay
	seen      []bool // which of the known counters were found
	next      int    // where in the known counters the next one is likely to be
	met       int    // known counters found
	reordered bool   // a counter was not the next one of the known, or is not known
	answered  bool
	first     uint16 // the generation at which the first answer was written
}

// readingWay is a way to request the counters.
type readingWay int

const (
	oneDump   readingWay = iota
	knownKeys            // a request for each known counter, if the table has no other
	everyKey             // a request for each counter that can exist
)

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
	r, counters := &t.reader, &t.known.counters
	defer func() { r.sample = nil }()
	for range maxAttempts {
		r.begin(sample, counters)
		if err := t.requestCounters(); err != nil {
			return readError("reading the counters", err)
		}
		same, err := t.identify()
		if err != nil {
			return err
		}
		if r.way == knownKeys && r.met < counters.len() {
			sample.Readings = counters.replace(sample.Readings) // another counter may be there instead of the missing one
			continue
		}
		if same && r.met < counters.len() {
			if same, err = t.requestUnseen(); err != nil {
				return err
			}
		}
		if same {
			return t.endReading()
		}
	}
	return fmt.Errorf("reading the counters: %w", errInterrupted)
}

// requestCounters reads the counters into the sample.
func (t *Table) requestCounters() (err error) {
	t.known.reading()
	r := &t.reader
	if r.way, err = t.chooseWay(); err != nil {
		return err
	}
	switch r.way {
	case knownKeys:
		return t.requestEach(t.known.counters.keys)
	case everyKey:
		return t.requestEach(everyPort().Keys())
	}
	return t.conn.dump(r.dumpRequest, r.visit)
}

// chooseWay looks the table up first if the choice depends on it.
func (t *Table) chooseWay() (readingWay, error) {
	r, k := &t.reader, &t.known
	if n := max(k.counters.len(), k.refused); 0 < n && n <= r.dumpLimit {
		return oneDump, nil
	}
	if err := t.look(); err != nil {
		return oneDump, err
	}
	r.sample.Readings = slices.Grow(r.sample.Readings, int(k.table.use))
	switch {
	case !k.table.exists():
		return oneDump, nil
	// This relies on the table's chains and maps being complete: while some are
	// missing, as many new counters go unnoticed.
	case k.counters.len() > r.dumpLimit && int(k.table.use) == k.counters.len()+len(t.layout.sets)+len(t.layout.chains):
		return knownKeys, nil
	case max(int(k.table.use), k.refused) > r.guessLimit:
		return everyKey, nil
	}
	return oneDump, nil
}

func counterRequest() []byte {
	return request(msgGetObject, unix.NLM_F_DUMP, func(e *encoder) {
		e.str(unix.NFTA_OBJ_TABLE, TableName)
		e.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	})
}

// begin begins an attempt to read the counters into the sample.
func (s *readState) begin(sample *accounting.Sample, counters *counterList) {
	seen := slices.Grow(s.seen[:0], len(counters.keys))[:len(counters.keys)]
	clear(seen)
	sample.Readings = sample.Readings[:0]
	*s = readState{sample: sample, seen: seen}
}

// addCounter adds the counter of a message to the sample.
func (t *Table) addCounter(m netlink.Message) error {
	t.conn.progress()
	s, counters := &t.reader.readState, &t.known.counters
	if !s.answered {
		s.answered, s.first = true, generationOf(m)
	}
	reading, ok := decodeCounter(payload(m))
	if !ok {
		return nil // not one of ours
	}
	place := s.next
	if place == len(counters.keys) || counters.keys[place] != reading.Key {
		s.reordered = true
		place = counters.index(reading.Key)
	}
	if place >= 0 {
		if s.seen[place] {
			return nil // a dump can list a counter twice
		}
		s.seen[place] = true
		s.met++
		s.next = place + 1
	}
	s.sample.Readings = append(s.sample.Readings, reading)
	return nil
}

// identify looks up which table was read. same reports whether it is the table
// of the previous lookup: a table with the same handle before and after a reading
// existed throughout. Otherwise the sample may be of either table.
func (t *Table) identify() (same bool, err error) {
	before := t.known.table.handle
	if err := t.look(); err != nil {
		return false, err
	}
	switch table := t.known.table; {
	case !table.exists():
		return false, accounting.ErrNoTable
	case !table.hasOurComment:
		return false, ErrForeignTable
	default:
		return table.handle == before, nil
	}
}

// endReading completes the sample and records which counters exist.
func (t *Table) endReading() error {
	s, k := &t.reader.readState, &t.known
	s.sample.Epoch, s.sample.Generation = k.table.epoch, k.generation
	if s.answered {
		k.readAt(s.first)
	}
	if s.reordered || s.met != len(k.counters.keys) {
		s.sample.Readings = k.counters.replace(s.sample.Readings)
	}
	if !k.table.hasEpoch() {
		return accounting.ErrRestored
	}
	return nil
}

// requestUnseen requests the known counters that the attempt did not find. It returns
// the result of identify.
func (t *Table) requestUnseen() (same bool, err error) {
	var lost []accounting.Key
	for place, key := range t.known.counters.keys {
		if !t.reader.seen[place] {
			lost = append(lost, key)
		}
	}
	if err := t.requestEach(lost); err != nil {
		return false, readError("reading the counters", err)
	}
	return t.identify()
}

// requestEach requests each of keys by itself. Missing ones are omitted, as are gaps.
func (t *Table) requestEach(keys []accounting.Key) error {
	r := &t.reader
	e := &r.singles
	for len(keys) > 0 {
		t.conn.progress() // missing counters make none
		part := keys[:min(requestsPerDatagram, len(keys))]
		keys = keys[len(part):]
		e.buffer = e.buffer[:0]
		for _, key := range part {
			if key == (accounting.Key{}) {
				continue
			}
			r.name = append(key.AppendText(r.name[:0]), 0)
			e.begin(msgGetObject, 0, familyInet, 0)
			e.str(unix.NFTA_OBJ_TABLE, TableName)
			e.bytes(unix.NFTA_OBJ_NAME, r.name)
			e.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
			e.end()
		}
		if len(e.buffer) == 0 {
			continue
		}
		if err := t.conn.get(e.buffer, r.visit); err != nil {
			return err
		}
	}
	return nil
}

// everyPort returns the ports of all counters that can exist.
func everyPort() accounting.Ports {
	ports := make(accounting.Ports, 1<<16)
	for i := range ports {
		ports[i] = accounting.Port{Number: uint16(i), Protocols: accounting.TCPAndUDP}
	}
	return ports
}
