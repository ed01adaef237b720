package survey

import (
	"bytes"
	"slices"

	"github.com/google/nftables/expr"
)

// set is a set or map of a table.
type set struct {
	name      string
	anonymous bool
	intervals bool // whether elements are the ends of intervals
	keyLength int
	entries   []entry
	isRead    bool
	err       error // why the entries can't be read
}

// entry is an element of a set, or an interval of elements.
type entry struct {
	keys        interval
	catchAll    bool // stands for what no other entry does, and has no keys
	byField     bool // the interval is one of each field, not of the whole key
	value       []byte
	verdict     *expr.Verdict
	intervalEnd bool // no entry: the key is the first one after an interval
}

// entriesOf returns the entries of a set with the elements of a dump. In an interval
// set, an interval without an end has all values above.
func entriesOf(elements []entry, intervals bool) (entries []entry) {
	slices.SortStableFunc(elements, func(a, b entry) int {
		order := bytes.Compare(a.keys.first, b.keys.first)
		switch {
		case order != 0 || a.intervalEnd == b.intervalEnd:
			return order
		case a.intervalEnd: // one interval begins where another ends
			return -1
		}
		return 1
	})
	open := false // whether the last entry has no end yet
	for _, e := range elements {
		if open && !e.catchAll { // ends where the next begins, which nft leaves out
			entries[len(entries)-1].keys.last = before(e.keys.first)
		}
		open = intervals && !e.intervalEnd && !e.catchAll && !e.byField
		if open {
			e.keys.last = bytes.Repeat([]byte{0xff}, len(e.keys.first))
		}
		if !e.intervalEnd {
			entries = append(entries, e)
		}
	}
	return entries
}

// before returns the value before another.
func before(value []byte) []byte {
	value = slices.Clone(value)
	for i := len(value) - 1; i >= 0; i-- {
		value[i]--
		if value[i] != 0xff {
			break
		}
	}
	return value
}

// parts divides a key, and the entry's interval, into fields.
func (e *entry) parts(key []cell, lengths []int) (fields [][]cell, intervals []interval) {
	if !e.byField {
		return [][]cell{key}, []interval{e.keys}
	}
	at := 0
	for _, length := range lengths {
		end := min(at+length, len(key))
		fields, intervals = append(fields, key[at:end]), append(intervals, interval{e.keys.first[at:end], e.keys.last[at:end]})
		at = end
	}
	return fields, intervals
}

// answer asks whether a key is the entry's.
func (e *entry) answer(key []cell, lengths []int) answer {
	if bytes.Equal(e.keys.first, e.keys.last) { // as most entries of a large set
		for i, c := range key {
			if c.field == constant && c.value != e.keys.first[i] {
				return answer{}
			}
		}
	}
	return answerOf(key, e.keys.bounds(), func(key []cell) (may, must bool) {
		may, must = true, true
		fields, intervals := e.parts(key, lengths)
		for i, field := range fields {
			possible, certain := intervals[i].holds(field)
			may, must = may && possible, must && certain
		}
		return may, must
	})
}

// require notes in a packet that the key is the entry's.
func (e *entry) require(p *packet, key []cell, lengths []int) (possible bool) {
	fields, intervals := e.parts(key, lengths)
	for i, field := range fields {
		if !p.require(field, intervals[i]) {
			return false
		}
	}
	return true
}

// hit is an entry and the packets whose key it has.
type hit struct {
	entry  *entry
	thread thread
}

// lookup divides a thread by the entries of a set that the key in a register has.
func (t thread) lookup(s *set, register uint32) (hits []hit, none []thread) {
	key, lengths := t.read(register, s.keyLength), t.fieldsOf(register, s.keyLength)
	for _, p := range t.perAddress(key) {
		t.packet = p
		some, rest := t.lookupOne(s, key, lengths)
		hits, none = append(hits, some...), append(none, rest...)
	}
	return hits, none
}

// perAddress returns a packet for each destination address, if the key depends on
// that.
func (p *packet) perAddress(key []cell) (packets []packet) {
	if !has(key, addressField) || len(p.addresses) == 0 {
		return []packet{*p}
	}
	for i := range p.addresses {
		one := *p
		one.addresses = p.addresses[i : i+1 : i+1]
		packets = append(packets, one)
	}
	return packets
}

// lookupOne looks up the key of packets to one destination address. The fields of the
// key have the lengths.
func (t thread) lookupOne(s *set, key []cell, lengths []int) (hits []hit, none []thread) {
	filled := t.resolved(key)
	if len(t.addresses) == 1 {
		filled = fill(filled, addressField, t.addresses[0].AsSlice())
	}
	doubting := t.doubting(doubtsAbout(filled))
	var doubtful bool
	var certain []PortRange
	var otherwise *entry
	for i := range s.entries {
		e := &s.entries[i]
		if e.catchAll {
			otherwise = e
			continue
		}
		if len(e.keys.first) != len(key) {
			continue
		}
		a := e.answer(filled, lengths)
		must, may := t.ports.and(a.must), t.ports.and(a.may.minus(a.must))
		certain, doubtful = append(certain, must...), doubtful || len(may) > 0
		matching := append(t.where(must), doubting.where(may)...)
		for _, t := range possible(matching, func(p *packet) bool { return e.require(p, key, lengths) }) {
			hits = append(hits, hit{e, t})
		}
	}
	if doubtful {
		t.doubts |= doubtsAbout(filled) &^ unsetMark
	}
	none = t.where(t.ports.minus(newPortSet(certain)))
	for _, e := range s.entries {
		if !e.catchAll {
			none = possible(none, func(p *packet) bool { return p.exclude(key, e.keys) })
		}
	}
	if otherwise == nil {
		return hits, none
	}
	for _, t := range none {
		hits = append(hits, hit{otherwise, t})
	}
	return hits, nil
}
