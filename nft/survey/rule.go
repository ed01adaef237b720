package survey

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// outcome is what a rule does with a packet: the verdict, or NFT_CONTINUE if the
// rule doesn't match or has none. A packet that is translated has a result instead.
type outcome struct {
	packet  packet
	verdict expr.Verdict
	result  *result
}

// result is what a packet is translated to, or why that is not understood.
type result struct {
	to     destination
	reason string
}

// application is a rule of a chain that is applied to a packet.
type application struct {
	rules      *ruleset
	chain      *chain
	translates bool // whether the base chain is of type nat
	packet     packet

	keepsDemands bool // whether packets that go on with the next rule keep what this one demands
	outcomes     []outcome
	steps        int
}

// apply applies the expressions of a rule one after another. It returns what becomes
// of the packet, and how many steps that took.
func (a *application) apply(applied rule) (outcomes []outcome, steps int) {
	threads := []thread{{packet: a.packet}}
	for n, expression := range applied.expressions {
		last := endsRule(applied.expressions[n+1:])
		var next []thread
		for i, t := range threads {
			if len(next) > maxThreads {
				for _, t := range threads[i:] {
					a.report(t, result{reason: "a rule has too many outcomes"})
				}
				break
			}
			t.noteMark(expression)
			a.keepsDemands = last && t.demands == a.packet.demands
			next = append(next, a.step(t, expression)...)
		}
		threads = next
		a.steps += 1 + len(threads)
	}
	a.mismatch(threads)
	if applied.onlyDrops() { // what isn't dropped is as certain as it was
		for i := range a.outcomes {
			a.outcomes[i].packet.doubts = a.packet.doubts
		}
	}
	return a.outcomes, a.steps
}

// maxThreads bounds the threads of a rule. A map of all ports makes 65,535.
const maxThreads = 1 << 16

// endWith ends the rule for a thread with a verdict.
func (a *application) endWith(t thread, verdict expr.Verdict) {
	if verdict.Kind == expr.VerdictContinue && !a.keepsDemands {
		t.demands = a.packet.demands
	}
	a.outcomes = append(a.outcomes, outcome{packet: t.packet, verdict: verdict})
}

// report ends the rule for a thread with a translation.
func (a *application) report(t thread, r result) {
	a.outcomes = append(a.outcomes, outcome{packet: t.packet, result: &r})
}

// mismatch ends the rule for threads that it doesn't match, or has no verdict for.
func (a *application) mismatch(threads []thread) {
	for _, t := range threads {
		a.endWith(t, expr.Verdict{Kind: expr.VerdictContinue})
	}
}

// require ends the rule where a condition does not hold, and returns the other threads.
func (a *application) require(condition branches) []thread {
	a.mismatch(condition.no)
	return condition.yes
}

// step applies an expression and returns the threads that go on with the rule.
func (a *application) step(t thread, expression any) []thread {
	switch e := expression.(type) {
	case *expr.Cmp:
		return a.require(t.compare(e))
	case *expr.Range:
		return a.require(t.inRange(e))
	case *expr.Lookup:
		return a.require(a.lookup(t, e).invertedIf(e.Invert))
	case *expr.Match:
		return a.require(t.extension(e))
	case *expr.Numgen:
		return t.choose(e.Register, e.Offset, e.Modulus)
	case *expr.Hash:
		return t.choose(e.DestRegister, e.Offset, e.Modulus)
	case opaque:
		if !slices.Contains(senderless, e.name) {
			t.doubts |= unknownSender
		}
		unknown := t.either()
		unknown.yes[0].registers = [registerBytes]cell{}
		return a.require(unknown)
	case *expr.Dynset:
		if len(e.Exprs) > 0 || e.Invert {
			return a.require(t.either())
		}
	case *expr.Target:
		return a.target(t, e)
	case *expr.Notrack:
		t.untracked = t.untracked || !t.tracked
	default:
		if a.decide(t, expression) {
			return nil
		}
		t.loadFrom(expression)
	}
	return []thread{t}
}

// decide ends the rule with a verdict or a translation, and returns true, if an
// expression has one.
func (a *application) decide(t thread, expression any) bool {
	switch e := expression.(type) {
	case *expr.Verdict:
		if e.Kind == expr.VerdictContinue {
			return false
		}
		a.endWith(t, *e)
	case *expr.Reject:
		a.endWith(t, expr.Verdict{Kind: expr.VerdictDrop})
	case *expr.Queue: // a program decides, as a rule that the packet may pass
		a.endWith(t, expr.Verdict{Kind: expr.VerdictAccept})
	case tproxy:
		if !e.accepts {
			return false
		}
		a.endWith(t, expr.Verdict{Kind: expr.VerdictAccept})
	case *expr.NAT:
		if e.Type != expr.NATTypeDestNAT || e.Family != unix.NFPROTO_INET && byte(e.Family) != t.family {
			return false
		}
		a.report(t, t.destinationNAT(e))
	case *expr.Redir:
		a.report(t, t.newDestination(0, 0, e.RegisterProtoMin, e.RegisterProtoMax))
	case *expr.Payload: // a destination that connection tracking doesn't know of can't be followed
		written := t.payload(e.Base, e.Offset, e.Len)
		if !rewrites(e) || !has(written, portField) && !has(written, addressField) {
			return false
		}
		a.report(t, result{reason: rewritten})
	case rewriting:
		a.report(t, result{reason: rewritten})
	default:
		return false
	}
	return true
}

// loadFrom applies an expression if it only changes a register, or a mark.
func (t *thread) loadFrom(expression any) {
	switch e := expression.(type) {
	case *expr.Immediate:
		t.load(e.Register, constantCells(e.Data))
	case *expr.Payload:
		if !rewrites(e) {
			t.load(e.DestRegister, t.payload(e.Base, e.Offset, e.Len))
		}
	case *expr.Fib:
		t.load(e.Register, t.route(e))
	case *expr.Bitwise:
		t.mask(e)
	case *expr.Byteorder:
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
	}
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
func (t *thread) swap(e *expr.Byteorder) {
	cells := t.read(e.SourceRegister, int(min(e.Len, registerBytes)))
	if size := int(min(e.Size, registerBytes)); size > 0 && binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for begin := 0; begin+size <= len(cells); begin += size {
			slices.Reverse(cells[begin : begin+size])
		}
	}
	t.load(e.DestRegister, cells)
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

// lookup divides a thread by a look-up in a set or map. A verdict map ends the rule
// where it has the key.
func (a *application) lookup(t thread, e *expr.Lookup) (branched branches) {
	if found, ok := a.unreadSource(t, e); ok {
		return found
	}
	s, err := a.rules.set(a.chain.table, e.SetName)
	if err != nil {
		return a.unknownSet(t, e, err)
	}
	hits, rest := t.lookup(s, e.SourceRegister)
	branched.no = rest
	a.steps += len(s.entries)
	for _, h := range hits {
		switch {
		case setsVerdict(e) && h.entry.verdict != nil:
			a.endWith(h.thread, *h.entry.verdict)
			continue
		case e.IsDestRegSet:
			h.thread.load(e.DestRegister, constantCells(h.entry.value))
		}
		branched.yes = append(branched.yes, h.thread)
	}
	return branched
}

// unreadSource applies a look-up of nothing but the source in a named set, which
// may be long: it can be anything.
func (a *application) unreadSource(t thread, e *expr.Lookup) (found branches, ok bool) {
	s := a.rules.sets[objectID{a.chain.table, e.SetName}]
	if s == nil || s.anonymous || e.IsDestRegSet {
		return branches{}, false
	}
	key := t.read(e.SourceRegister, s.keyLength)
	for _, c := range key {
		if c.field != sourceField && c.field != otherOrigin && c.field != unknownField {
			return branches{}, false
		}
	}
	found = t.doubting(doubtsAbout(key)).either()
	if has(key, sourceField) {
		found.yes[0].sourceSets = union(t.sourceSets, []string{"@" + s.name})
	}
	return found, true
}

// unknownSet applies a look-up in a set that can't be read.
func (a *application) unknownSet(t thread, e *expr.Lookup, err error) branches {
	unknown := t.either()
	switch {
	case setsVerdict(e):
		a.report(t, result{reason: err.Error()})
		unknown.yes = nil
	case e.IsDestRegSet:
		unknown.yes[0].load(e.DestRegister, make([]cell, 16))
	}
	return unknown
}

// rewrites reports whether an expression changes the packet.
func rewrites(expression any) bool {
	switch e := expression.(type) {
	case *expr.Payload:
		return e.OperationType == expr.PayloadWrite
	case rewriting:
		return true
	}
	return false
}

// rewritten is the reason given for packets whose destination a rule rewrites without
// connection tracking.
const rewritten = "it rewrites the destination without connection tracking"

// matters reports whether a rule does anything that is followed here. Most rules
// that count, log or fill a set don't.
func (a rule) matters() bool { return slices.ContainsFunc(a.expressions, acts) }

// onlyDrops reports whether all that a rule may do with a packet is to drop it.
func (a rule) onlyDrops() bool {
	return a.matters() && !slices.ContainsFunc(a.expressions, func(expression any) bool { return acts(expression) && !drops(expression) })
}

// acts reports whether an expression does anything that is followed here.
func acts(expression any) bool {
	switch e := expression.(type) {
	case *expr.Lookup:
		return setsVerdict(e)
	case tproxy:
		return e.accepts
	case *expr.Target, *expr.Verdict, *expr.Reject, *expr.Queue, *expr.Notrack, *expr.NAT, *expr.Redir:
		return true
	}
	return setsMark(expression) || rewrites(expression)
}

func drops(expression any) bool {
	verdict, ok := expression.(*expr.Verdict)
	return is[*expr.Reject](expression) || ok && verdict.Kind == expr.VerdictDrop
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
