package survey

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// maxSteps bounds the expressions and entries of sets that a walk applies. A
	// rule for each of 10,000 ports takes some 100,000.
	maxSteps = 2_000_000
	// maxPackets bounds the packets that are told apart at one rule.
	maxPackets = 4096
	// maxJumps is what the kernel allows: NFT_JUMP_STACK_SIZE.
	maxJumps = 16
)

// walker follows packets through the chains at prerouting.
type walker struct {
	rules      *ruleset
	report     func(*chain, packet, result) // called for each translation
	translates bool                         // whether the current base chain is of type nat
	steps      int
	accepted   []packet // by the current base chain
}

// translations follows every packet that clients send to ports of the host, up to
// its translation.
func (r *ruleset) translations(host Host, report func(*chain, packet, result)) {
	for _, family := range families {
		path := r.prerouting(family)
		if !r.leadTo(path.after, rewrites) {
			path.after = nil
		}
		if len(path.translating)+len(path.after) == 0 && !r.leadTo(path.before, rewrites) {
			continue
		}
		marked := r.leadTo(slices.Concat(path.before, path.translating), setsMark) // else a mark comes from elsewhere
		for _, protocol := range protocols {
			p := packet{family: family, protocol: protocol, ports: allPorts, addresses: host.addresses(family == unix.NFPROTO_IPV4)}
			p.uplinks = host.Uplinks
			p.mark, p.connMark = [4]cell(fieldCells(foreignMark, 4)), [4]cell(constantCells(make([]byte, 4)))
			if marked {
				p.mark = p.connMark
			}
			w := walker{rules: r, report: report}
			w.follow(p, path)
		}
	}
}

// addresses returns the addresses of a family that clients can send to.
func (h Host) addresses(ipv4 bool) (addresses []netip.Addr) {
	for _, address := range h.Addresses {
		if address = address.Unmap().WithZone(""); address.Is4() == ipv4 && address.IsValid() && !address.IsLoopback() {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// path is the base chains that packets pass through, in order. The kernel runs all
// chains of type nat at one place, whatever their priority.
type path struct{ before, translating, after []*chain }

// prerouting returns the path of a family's packets.
func (r *ruleset) prerouting(family byte) (p path) {
	for _, c := range slices.Backward(r.chains) { // of one priority, the latest is the first
		switch {
		case c.Hooknum == nil || c.Priority == nil || isOwnTable(c.table):
		case c.isIngress():
			p.before = append(p.before, c)
		case *c.Hooknum != *nftables.ChainHookPrerouting || c.table.family == nftables.TableFamilyNetdev:
		case byte(c.table.family) != family && c.table.family != nftables.TableFamilyINet:
		case c.Type == nftables.ChainTypeNAT:
			p.translating = append(p.translating, c)
		case *c.Priority <= *nftables.ChainPriorityNATDest:
			p.before = append(p.before, c)
		default:
			p.after = append(p.after, c)
		}
	}
	for _, chains := range [...][]*chain{p.before, p.translating, p.after} {
		slices.SortStableFunc(chains, func(a, b *chain) int {
			switch {
			case a.isIngress() && !b.isIngress():
				return -1
			case b.isIngress() && !a.isIngress():
				return 1
			}
			return cmp.Compare(*a.Priority, *b.Priority)
		})
	}
	return p
}

// isIngress reports whether a base chain gets what a device receives, before
// prerouting.
func (c *chain) isIngress() bool {
	const inetIngress = 5 // NF_INET_INGRESS of include/uapi/linux/netfilter.h
	switch c.table.family {
	case nftables.TableFamilyNetdev:
		return *c.Hooknum == unix.NF_NETDEV_INGRESS
	case nftables.TableFamilyINet:
		return *c.Hooknum == inetIngress
	}
	return false
}

// leadTo reports whether the chains lead to a rule with such an expression.
func (r *ruleset) leadTo(chains []*chain, such func(any) bool) bool {
	return slices.ContainsFunc(r.reachable(chains...), func(c *chain) bool {
		return slices.ContainsFunc(c.rules, func(a rule) bool { return slices.ContainsFunc(a.expressions, such) })
	})
}

// follow sends a packet through the base chains.
func (w *walker) follow(p packet, on path) {
	packets := []packet{p}
	for _, c := range on.before {
		for i := range packets {
			packets[i].tracked = !c.isIngress() && *c.Priority > *nftables.ChainPriorityConntrack
		}
		packets = w.base(c, packets)
	}
	var tracked, untracked []packet
	for _, p := range packets {
		if p.untracked {
			untracked = append(untracked, p)
			continue
		}
		p.tracked = true
		tracked = append(tracked, p)
	}
	w.translates = true
	for _, c := range on.translating {
		tracked = w.base(c, tracked)
	}
	w.translates = false
	packets = append(tracked, untracked...)
	for _, c := range on.after {
		packets = w.base(c, packets)
	}
}

// base sends packets through a base chain and returns those that pass.
func (w *walker) base(c *chain, packets []packet) (passed []packet) {
	w.accepted = nil
	rest := w.walk(c, packets, 0)
	if c.dropsRest() {
		rest = nil
	}
	passed = append(w.accepted, rest...)
	for i := range passed {
		passed[i].demands = demands{}
	}
	return w.merge(c, passed)
}

// walk sends packets through a chain and returns those that its caller goes on
// with.
func (w *walker) walk(c *chain, packets []packet, jumps int) (returned []packet) {
	if jumps > maxJumps {
		w.giveUp(c, packets, "too many jumps lead here")
		return nil
	}
	for _, applied := range c.rules {
		if len(packets) == 0 {
			break
		}
		if !applied.matters() {
			continue
		}
		if w.steps > w.rules.maxSteps {
			w.giveUp(c, packets, "the rules are too many to follow")
			return nil
		}
		next, back := w.apply(c, applied, packets, jumps)
		packets, returned = w.merge(c, next), append(returned, back...)
	}
	return w.merge(c, append(returned, packets...))
}

// apply applies a rule to packets. next are those that the next rule gets, back
// those that the caller of the chain goes on with.
func (w *walker) apply(c *chain, applied rule, packets []packet, jumps int) (next, back []packet) {
	var leaving []way // in the order of the first packet
	byWay := make(map[way][]packet)
	for _, p := range packets {
		a := application{rules: w.rules, chain: c, translates: w.translates, packet: p}
		outcomes, steps := a.apply(applied)
		w.steps += steps
		for _, o := range outcomes {
			if o.result != nil {
				w.report(c, o.packet, *o.result)
				continue
			}
			switch o.verdict.Kind {
			case expr.VerdictContinue, expr.VerdictBreak:
				next = append(next, o.packet)
			case expr.VerdictReturn:
				back = append(back, o.packet)
			case expr.VerdictJump, expr.VerdictGoto:
				to := way{o.verdict, p.demands}
				if byWay[to] == nil {
					leaving = append(leaving, to)
				}
				byWay[to] = append(byWay[to], o.packet)
			case expr.VerdictDrop:
			default:
				w.accepted = append(w.accepted, o.packet)
			}
		}
	}
	for _, to := range leaving {
		returned := w.leave(c, to, byWay[to], jumps)
		if to.verdict.Kind == expr.VerdictJump {
			next = append(next, returned...)
		} else {
			back = append(back, returned...)
		}
	}
	return next, back
}

// way is the jump that packets take, and what is demanded of them when they come back.
type way struct {
	verdict expr.Verdict
	back    demands
}

// leave sends packets to another chain of the table and returns those that come back.
func (w *walker) leave(from *chain, to way, packets []packet, jumps int) (returned []packet) {
	called := w.rules.chainOf[objectID{from.table, to.verdict.Chain}]
	if called == nil {
		w.giveUp(from, packets, fmt.Sprintf("chain %s is missing", to.verdict.Chain))
		return nil
	}
	returned = w.walk(called, w.merge(from, packets), jumps+1)
	for i := range returned {
		returned[i].demands = to.back
	}
	return returned
}

// giveUp reports packets that are not followed any further.
func (w *walker) giveUp(c *chain, packets []packet, reason string) {
	for _, p := range packets {
		w.report(c, p, result{reason: reason})
	}
}

// merge joins packets that no later rule can tell apart.
func (w *walker) merge(c *chain, packets []packet) []packet {
	packets = mergePackets(packets)
	if len(packets) > maxPackets {
		w.giveUp(c, packets[maxPackets:], "the rules tell too many kinds of packets apart")
		packets = packets[:maxPackets]
	}
	return packets
}
