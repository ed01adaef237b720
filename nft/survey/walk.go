package survey

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
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

// walk follows the packets of one family and protocol through the chains at
// prerouting.
type walk struct {
	run      run
	accepted []packet // by the current base chain
}

// translations follows every packet that clients send to ports of the host, up to
// its translation.
func (r *ruleset) translations(host Host, found func(*chain, result)) {
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		path := r.prerouting(nftables.TableFamily(family))
		if !r.leadTo(path.after, rewrites) {
			path.after = nil
		}
		if len(path.translating)+len(path.after) == 0 && !r.leadTo(path.before, rewrites) {
			continue
		}
		marked := r.leadTo(slices.Concat(path.before, path.translating), setsMark) // else a mark comes from elsewhere
		for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
			p := packet{family: family, protocol: protocol, ports: allPorts, addresses: host.addresses(family == unix.NFPROTO_IPV4)}
			p.uplinks = host.Uplinks
			p.mark, p.connMark = [4]cell(fieldCells(foreignMark, 4)), [4]cell(constantCells(make([]byte, 4)))
			if marked {
				p.mark = p.connMark
			}
			w := walk{run: run{rules: r}}
			w.run.found = func(f result) { found(w.run.chain, f) }
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
func (r *ruleset) prerouting(family nftables.TableFamily) (p path) {
	for _, c := range slices.Backward(r.chains) { // of one priority, the latest is the first
		switch {
		case c.Hooknum == nil || c.Priority == nil || isOwnTable(c.table):
		case c.isIngress():
			p.before = append(p.before, c)
		case *c.Hooknum != *nftables.ChainHookPrerouting || c.table.family == nftables.TableFamilyNetdev:
		case c.table.family != family && c.table.family != nftables.TableFamilyINet:
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
			if a.isIngress() != b.isIngress() {
				return map[bool]int{true: -1, false: 1}[a.isIngress()]
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
	return slices.ContainsFunc(chains, func(base *chain) bool {
		return slices.ContainsFunc(r.reachable(base), func(c *chain) bool {
			return slices.ContainsFunc(c.rules, func(a rule) bool { return slices.ContainsFunc(a.expressions, such) })
		})
	})
}

// follow sends a packet through the base chains.
func (w *walk) follow(p packet, on path) {
	packets := []packet{p}
	for _, c := range on.before {
		for i := range packets {
			packets[i].tracked = !c.isIngress() && *c.Priority > *nftables.ChainPriorityConntrack
		}
		packets = w.base(c, packets)
	}
	var untracked []packet
	packets = slices.DeleteFunc(packets, func(p packet) bool {
		if p.untracked {
			untracked = append(untracked, p)
		}
		return p.untracked
	})
	for i := range packets {
		packets[i].tracked = true
	}
	w.run.translates = true
	for _, c := range on.translating {
		packets = w.base(c, packets)
	}
	w.run.translates = false
	packets = append(packets, untracked...)
	for _, c := range on.after {
		packets = w.base(c, packets)
	}
}

// base sends packets through a base chain and returns those that pass.
func (w *walk) base(c *chain, packets []packet) (passed []packet) {
	w.accepted = nil
	rest := w.walk(c, packets, 0)
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
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
func (w *walk) walk(c *chain, packets []packet, jumps int) (returned []packet) {
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
		if w.run.steps > w.run.rules.maxSteps {
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
func (w *walk) apply(c *chain, applied rule, packets []packet, jumps int) (next, back []packet) {
	jumping, going := leaving{}, leaving{}
	for _, p := range packets {
		w.run.chain = c
		for _, o := range w.run.apply(applied, p) {
			switch o.verdict.Kind {
			case expr.VerdictContinue, expr.VerdictBreak:
				next = append(next, o.packet)
			case expr.VerdictReturn:
				back = append(back, o.packet)
			case expr.VerdictJump:
				jumping.add(o, p.demands)
			case expr.VerdictGoto:
				going.add(o, p.demands)
			case expr.VerdictDrop:
			default:
				w.accepted = append(w.accepted, o.packet)
			}
		}
	}
	next = append(next, w.leave(c, jumping, jumps)...)
	return next, append(back, w.leave(c, going, jumps)...)
}

// leaving is packets by the way that they go, in the order of the first.
type leaving struct {
	ways    []way
	packets map[way][]packet
}

// way is the chain that packets go to, and what is required of them when they come back.
type way struct {
	chain string
	back  demands
}

func (l *leaving) add(o outcome, back demands) {
	if l.packets == nil {
		l.packets = make(map[way][]packet)
	}
	to := way{o.verdict.Chain, back}
	if l.packets[to] == nil {
		l.ways = append(l.ways, to)
	}
	l.packets[to] = append(l.packets[to], o.packet)
}

// leave sends packets to other chains of the table and returns those that come
// back.
func (w *walk) leave(from *chain, l leaving, jumps int) (returned []packet) {
	for _, way := range l.ways {
		to := w.run.rules.byName[from.table][way.chain]
		if to == nil {
			w.giveUp(from, l.packets[way], fmt.Sprintf("chain %s is missing", way.chain))
			continue
		}
		back := w.walk(to, w.merge(from, l.packets[way]), jumps+1)
		for i := range back {
			back[i].demands = way.back
		}
		returned = append(returned, back...)
	}
	return returned
}

// giveUp reports packets that are not followed any further.
func (w *walk) giveUp(c *chain, packets []packet, reason string) {
	w.run.chain = c
	for _, p := range packets {
		w.run.found(result{packet: p, reason: reason})
	}
}

// merge joins packets that no later rule can tell apart.
func (w *walk) merge(c *chain, packets []packet) []packet {
	packets = mergePackets(packets)
	if len(packets) > maxPackets {
		w.giveUp(c, packets[maxPackets:], "the rules tell too many kinds of packets apart")
		packets = packets[:maxPackets]
	}
	return packets
}
