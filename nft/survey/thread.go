package survey

import (
	"slices"

	"github.com/google/nftables/expr"
)

// registerBytes is the size of the registers of the nf_tables virtual machine.
const registerBytes = 64

// thread is a packet within a rule.
type thread struct {
	packet
	registers [registerBytes]cell
	loads     [registerBytes]bool // at which bytes a value begins
}

// registerAt returns where a register begins. There are four of 16 bytes, which
// can be used as 16 of 4 bytes: enum nft_registers.
func registerAt(register uint32) (at int, ok bool) {
	const (
		firstLong, lastLong   = 1, 4
		firstShort, lastShort = 8, 23
	)
	switch {
	case firstLong <= register && register <= lastLong:
		return int(register-firstLong) * 16, true
	case firstShort <= register && register <= lastShort:
		return int(register-firstShort) * 4, true
	}
	return 0, false
}

// load writes a value into a register and pads it with zeros, as the kernel does.
func (t *thread) load(register uint32, value []cell) {
	at, ok := registerAt(register)
	if !ok {
		return
	}
	for i := range (len(value) + 3) / 4 * 4 {
		if at+i == registerBytes {
			return
		}
		t.registers[at+i], t.loads[at+i] = constantCell(0), i == 0
		if i < len(value) {
			t.registers[at+i] = value[i]
		}
	}
}

// read returns a copy of what a register holds.
func (t *thread) read(register uint32, length int) []cell {
	at, ok := registerAt(register)
	if !ok {
		return make([]cell, length)
	}
	value := slices.Clone(t.registers[at:min(at+length, registerBytes)])
	return append(value, make([]cell, length-len(value))...)
}

// fieldsOf returns the lengths of the values that make up the key in a register.
func (t *thread) fieldsOf(register uint32, length int) (lengths []int) {
	at, _ := registerAt(register)
	for i := range min(length, registerBytes-at) {
		if t.loads[at+i] || len(lengths) == 0 {
			lengths = append(lengths, 0)
		}
		lengths[len(lengths)-1]++
	}
	return lengths
}

// interval is the values from first to last of a condition.
type interval struct{ first, last []byte }

func (i interval) bounds() [][]byte { return [][]byte{i.first, i.last} }

// holds reports whether cells may be, and whether they are, in the interval.
func (i interval) holds(cells []cell) (may, must bool) {
	low := compare(cells, i.first)
	if slices.Equal(i.first, i.last) {
		return low&equal != 0, low == equal
	}
	high := compare(cells, i.last)
	return low != less && high != greater, low&less == 0 && high&greater == 0
}

// branches is a thread divided by a condition: where it holds, and where it does not.
// What may be either is in both.
type branches struct{ yes, no []thread }

func (b branches) invertedIf(inverted bool) branches {
	if inverted {
		return branches{b.no, b.yes}
	}
	return b
}

// and applies another condition where the first one holds.
func (b branches) and(condition func(thread) branches) branches {
	both := branches{no: b.no}
	for _, t := range b.yes {
		second := condition(t)
		both.yes, both.no = append(both.yes, second.yes...), append(both.no, second.no...)
	}
	return both
}

// split divides a thread by a condition on cells, whose outcome may differ where a
// bound divides ports.
func (t thread) split(cells []cell, bounds [][]byte, ask func([]cell) (may, must bool)) (b branches) {
	packets, answers := t.byAddress(cells, func(cells []cell) answer {
		unmarked := answerOf(fill(cells, foreignMark, make([]byte, 4)), bounds, ask)
		if !has(cells, foreignMark) {
			return unmarked
		}
		return answer{may: answerOf(cells, bounds, ask).may, must: unmarked.must}
	})
	doubts := doubtsAbout(cells)
	for i, p := range packets {
		t.packet = p
		may, must := answers[i].may, answers[i].must
		doubtful := p.ports.and(may.minus(must))
		b.yes = slices.Concat(b.yes, t.where(p.ports.and(must)), t.doubting(doubts).where(doubtful))
		b.no = slices.Concat(b.no, t.where(p.ports.minus(may)), t.doubting(doubts&^unsetMark).where(doubtful))
	}
	return b
}

// where returns the thread with fewer ports, or nothing if there are none.
func (t thread) where(ports portSet) []thread {
	if len(ports) == 0 {
		return nil
	}
	t.ports = ports
	return []thread{t}
}

// doubting returns the thread with more doubts.
func (t thread) doubting(more doubts) thread {
	t.doubts |= more
	return t
}

// compare divides a thread by a comparison.
func (t thread) compare(e *expr.Cmp) branches {
	cells := t.read(e.Register, len(e.Data))
	value := interval{e.Data, e.Data}
	if e.Op == expr.CmpOpEq || e.Op == expr.CmpOpNeq {
		return t.within(cells, value).invertedIf(e.Op == expr.CmpOpNeq)
	}
	allowed := map[expr.CmpOp]orders{
		expr.CmpOpLt: less, expr.CmpOpLte: less | equal, expr.CmpOpGt: greater, expr.CmpOpGte: greater | equal,
	}[e.Op]
	return t.split(cells, value.bounds(), func(cells []cell) (may, must bool) {
		possible := compare(cells, e.Data)
		return possible&allowed != 0, possible&^allowed == 0
	})
}

// within divides a thread by whether cells are in an interval.
func (t thread) within(cells []cell, values interval) branches {
	b := t.split(cells, values.bounds(), values.holds)
	return branches{
		yes: possible(b.yes, func(p *packet) bool { return p.require(cells, values) }),
		no:  possible(b.no, func(p *packet) bool { return p.exclude(cells, values) }),
	}
}

// possible keeps the threads for which note returns true: it notes what a condition means,
// unless that contradicts what is known.
func possible(threads []thread, note func(*packet) bool) (left []thread) {
	for _, t := range threads {
		if note(&t.packet) {
			left = append(left, t)
		}
	}
	return left
}

// inRange divides a thread by a range.
func (t thread) inRange(e *expr.Range) branches {
	return t.within(t.read(e.Register, len(e.FromData)), interval{e.FromData, e.ToData}).invertedIf(e.Op == expr.CmpOpNeq)
}

// either returns the thread twice, for a condition of which nothing is known.
func (t thread) either() branches { return branches{[]thread{t}, []thread{t}} }

// always returns the thread once, for a condition that is known.
func (t thread) always(holds bool) branches {
	return branches{yes: []thread{t}}.invertedIf(!holds)
}
