package survey

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
)

// outcome is what a rule does with a packet: the verdict, or NFT_CONTINUE if the
// rule doesn't match or has none. There is no outcome for a packet that is
// translated.
type outcome struct {
	verdict expr.Verdict
	packet  packet
}

// run is a rule that is applied to a packet.
type run struct {
	rules      *ruleset
	chain      *chain
	translates bool // whether the base chain is of type nat
	steps      int
	outcomes   []outcome
	found      func(result) // called for each translation
}

// result is a translation of a packet, or why it is not understood.
type result struct {
	packet packet
	to     destination
	reason string
}

// apply applies the expressions of a rule one after another.
func (r *run) apply(applied rule, p packet) []outcome {
	r.outcomes = nil
	threads := []thread{{packet: p}}
	for n, expression := range applied.expressions {
		last := ends(applied.expressions[n+1:])
		var next []thread
		for i, t := range threads {
			if len(next) > maxThreads {
				r.giveUp(threads[i:], "a rule has too many outcomes")
				break
			}
			t.noteMark(expression)
			before := len(r.outcomes)
			next = append(next, r.step(t, expression)...)
			if t.demands != p.demands || !last { // else the rule ends the others
				forgetDemands(r.outcomes[before:], p.demands)
			}
		}
		threads = next
		r.steps += 1 + len(threads)
	}
	before := len(r.outcomes)
	r.mismatch(threads)
	forgetDemands(r.outcomes[before:], p.demands)
	if applied.onlyDrops() { // what isn't dropped is as certain as it was
		for i := range r.outcomes {
			r.outcomes[i].packet.uncertain, r.outcomes[i].packet.foreign, r.outcomes[i].packet.unclear = p.uncertain, p.foreign, p.unclear
		}
	}
	return r.outcomes
}

// maxThreads bounds the threads of a rule. A map of all ports makes 65,535.
const maxThreads = 1 << 16

// giveUp reports threads that are not followed any further.
func (r *run) giveUp(threads []thread, reason string) {
	for _, t := range threads {
		r.found(result{packet: t.packet, reason: reason})
	}
}

// end ends the rule for threads.
func (r *run) end(threads []thread, verdict expr.Verdict) {
	for _, t := range threads {
		r.outcomes = append(r.outcomes, outcome{verdict, t.packet})
	}
}

// mismatch ends the rule for threads that it doesn't match, or has no verdict for.
func (r *run) mismatch(threads []thread) { r.end(threads, expr.Verdict{Kind: expr.VerdictContinue}) }

// matching passes on the first result of a condition.
func (r *run) matching(yes, no []thread) []thread {
	r.mismatch(no)
	return yes
}

// step applies an expression and returns the threads that go on with the rule.
func (r *run) step(t thread, expression any) []thread {
	switch e := expression.(type) {
	case *expr.Cmp:
		return r.matching(t.compare(e))
	case *expr.Range:
		return r.matching(t.inRange(e))
	case *expr.Lookup:
		return r.lookup(t, e)
	case *expr.Match:
		return r.matching(t.match(e))
	case *expr.Numgen:
		return t.choose(e.Register, e.Offset, e.Modulus)
	case *expr.Hash:
		return t.choose(e.DestRegister, e.Offset, e.Modulus)
	case opaque:
		t.unclear = t.unclear || !slices.Contains(senderless, e.name)
		yes, no := t.either()
		yes[0].forget()
		return r.matching(yes, no)
	case *expr.Limit, *expr.Quota, *expr.Connlimit:
		return r.matching(t.either())
	case *expr.Dynset:
		if len(e.Exprs) > 0 || e.Invert {
			return r.matching(t.either())
		}
		return []thread{t}
	}
	if t.loadFrom(expression) {
		return []thread{t}
	}
	return r.act(t, expression)
}

// loadFrom applies an expression that only changes a register, or a mark. It
// returns false if the expression is another.
func (t *thread) loadFrom(expression any) bool {
	switch e := expression.(type) {
	case *expr.Immediate:
		t.load(e.Register, constantCells(e.Data))
	case *expr.Payload:
		if rewrites(e) {
			return false
		}
		t.load(e.DestRegister, t.payload(e.Base, e.Offset, e.Len))
	case *expr.Fib:
		t.load(e.Register, t.route(e))
	case *expr.Bitwise:
		t.mask(e)
	case byteorder:
		t.swap(e)
	case *expr.Meta:
		if !e.SourceRegister {
			t.load(e.Register, t.meta(e.Key))
		} else if e.Key == expr.MetaKeyMARK {
			t.mark = [4]cell(t.read(e.Register, 4))
		}
	case *expr.Ct:
		if !e.SourceRegister {
			t.load(e.Register, t.conntrack(e))
		} else if e.Key == expr.CtKeyMARK {
			t.connMark = [4]cell(t.read(e.Register, 4))
		}
	default:
		return false
	}
	return true
}

func (t *thread) mask(e *expr.Bitwise) {
	cells := t.read(e.SourceRegister, int(min(e.Len, registerBytes)))
	for i, c := range cells {
		if i >= len(e.Mask) || i >= len(e.Xor) {
			cells[i] = cell{}
			continue
		}
		cells[i] = c.through(e.Mask[i], e.Xor[i])
	}
	t.load(e.DestRegister, cells)
}

// swap reverses the bytes of each number, on a host where that makes a difference.
func (t *thread) swap(e byteorder) {
	cells := t.read(e.source, int(min(e.length, registerBytes)))
	if size := int(min(e.size, registerBytes)); size > 0 && binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for begin := 0; begin+size <= len(cells); begin += size {
			slices.Reverse(cells[begin : begin+size])
		}
	}
	t.load(e.destination, cells)
}

// choose returns a thread for each number that chance, or a hash of what is not
// known, may load into a register.
func (t thread) choose(register, offset, modulus uint32) (threads []thread) {
	const most = 4096
	if modulus == 0 || modulus > most {
		t.load(register, make([]cell, 4))
		return []thread{t}
	}
	for i := range modulus {
		one := t
		one.load(register, constantCells(binary.NativeEndian.AppendUint32(nil, offset+i)))
		threads = append(threads, one)
	}
	return threads
}

// lookup applies a look-up in a set, a map or a verdict map.
func (r *run) lookup(t thread, e *expr.Lookup) []thread {
	yes, no := r.lookupIn(t, e)
	if e.Invert {
		yes, no = no, yes
	}
	return r.matching(yes, no)
}

func (r *run) lookupIn(t thread, e *expr.Lookup) (yes, no []thread) {
	if yes, no, ok := r.unreadSource(t, e); ok {
		return yes, no
	}
	s, err := r.rules.set(r.chain.table, e.SetName)
	if err != nil {
		return r.unknownSet(t, e, err)
	}
	key, lengths := t.read(e.SourceRegister, s.keyLength), t.fieldsOf(e.SourceRegister, s.keyLength)
	found, no := t.lookup(s, key, lengths)
	r.steps += len(s.entries)
	for _, m := range found {
		switch {
		case setsVerdict(e) && m.entry.verdict != nil:
			r.verdict(m.thread, *m.entry.verdict)
			continue
		case e.IsDestRegSet:
			m.thread.load(e.DestRegister, constantCells(m.entry.value))
		}
		yes = append(yes, m.thread)
	}
	return yes, no
}

// unreadSource applies a look-up of nothing but the source in a named set, which
// may be long: it can be anything.
func (r *run) unreadSource(t thread, e *expr.Lookup) (yes, no []thread, ok bool) {
	s := r.rules.sets[r.chain.table][e.SetName]
	if s == nil || s.anonymous || e.IsDestRegSet {
		return nil, nil, false
	}
	key := t.read(e.SourceRegister, s.keyLength)
	for _, c := range key {
		if c.field != sourceField && c.field != otherOrigin && c.field != unknownField {
			return nil, nil, false
		}
	}
	inside := t
	if has(key, sourceField) {
		inside.requireSourceIn("@" + s.name)
	}
	return inside.failed(t.ports, key), t.failed(t.ports, key), true
}

// unknownSet applies a look-up in a set that can't be read.
func (r *run) unknownSet(t thread, e *expr.Lookup, err error) (yes, no []thread) {
	yes, no = t.either()
	switch {
	case setsVerdict(e):
		r.found(result{packet: t.packet, reason: err.Error()})
		return nil, no
	case e.IsDestRegSet:
		yes[0].load(e.DestRegister, make([]cell, 16))
	}
	return yes, no
}

// verdict ends the rule with a verdict.
func (r *run) verdict(t thread, verdict expr.Verdict) { r.end([]thread{t}, verdict) }

// act applies an expression that does something with the packet, and returns the
// thread if it goes on.
func (r *run) act(t thread, expression any) []thread {
	switch e := expression.(type) {
	case *expr.Verdict:
		if e.Kind == expr.VerdictContinue {
			return []thread{t}
		}
		r.verdict(t, *e)
	case *expr.Reject:
		r.verdict(t, expr.Verdict{Kind: expr.VerdictDrop})
	case *expr.Queue: // a program decides, as a rule that the packet may pass
		t.uncertain = true
		r.verdict(t, expr.Verdict{Kind: expr.VerdictAccept})
	case *expr.Notrack:
		t.untracked = t.untracked || !t.tracked
		return []thread{t}
	case *expr.NAT:
		return r.nat(t, e)
	case *expr.Redir:
		r.redirect(t, e)
	case *expr.Payload:
		return r.rewrite(t, e)
	case *expr.Target:
		return r.target(t, e)
	default:
		return []thread{t}
	}
	return nil
}

// rewrites reports whether an expression changes the packet.
func rewrites(expression any) bool {
	switch e := expression.(type) {
	case *expr.Payload:
		return e.OperationType == expr.PayloadWrite
	case *expr.Target:
		return slices.Contains(rewritingTargets, e.Name)
	}
	return false
}

// rewritten is why what becomes of a packet is unknown whose destination a rule
// changes.
const rewritten = "it rewrites the destination without connection tracking"

// rewrite applies a change of the packet itself. A new destination that connection
// tracking doesn't know of can't be followed.
func (r *run) rewrite(t thread, e *expr.Payload) []thread {
	for _, c := range t.payload(e.Base, e.Offset, e.Len) {
		if c.field == portField || c.field == addressField {
			r.found(result{packet: t.packet, reason: rewritten})
			return nil
		}
	}
	return []thread{t}
}

// matters reports whether a rule does anything that is followed here. Most rules
// that count, log or fill a set don't.
func (a rule) matters() bool {
	return slices.ContainsFunc(a.expressions, func(expression any) bool {
		switch e := expression.(type) {
		case *expr.Lookup:
			return setsVerdict(e)
		case *expr.Target:
			return !slices.Contains(harmlessTargets, e.Name)
		case *expr.Verdict, *expr.Reject, *expr.Queue, *expr.Notrack, *expr.NAT, *expr.Redir:
			return true
		}
		return setsMark(expression) || rewrites(expression)
	})
}

// onlyDrops reports whether all that a rule may do with a packet is to drop it.
func (a rule) onlyDrops() bool {
	drops := false
	for _, expression := range a.expressions {
		switch e := expression.(type) {
		case *expr.Verdict:
			drops = e.Kind == expr.VerdictDrop
		case *expr.Reject:
			drops = true
		default:
			if (rule{expressions: []any{e}}).matters() {
				return false
			}
		}
	}
	return drops
}

// setsMark reports whether an expression sets the mark of a packet or connection.
func setsMark(expression any) bool {
	switch e := expression.(type) {
	case *expr.Meta:
		return e.SourceRegister && e.Key == expr.MetaKeyMARK
	case *expr.Ct:
		return e.SourceRegister && e.Key == expr.CtKeyMARK
	case *expr.Target:
		return slices.Contains([]string{"MARK", "CONNMARK", "HMARK"}, e.Name)
	}
	return false
}
