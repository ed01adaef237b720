package survey

import (
	"iter"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// offloads returns the rules that add connections to flowtables.
func (r *ruleset) offloads() (found []Offload) {
	for _, c := range r.others() {
		for _, rule := range c.rules {
			for _, expression := range rule.expressions {
				if e, ok := expression.(*expr.FlowOffload); ok {
					found = append(found, Offload{c.place, e.Name})
				}
			}
		}
	}
	return found
}

// others returns the chains that are not in ssmonitor's own table, nor of a device:
// these pass packets of other hosts, too.
func (r *ruleset) others() []*chain {
	return slices.DeleteFunc(slices.Clone(r.chains), func(c *chain) bool { return isOwnTable(c.table) || c.table.family == nftables.TableFamilyNetdev })
}

// countingRules returns the rules that count one port and do nothing else.
func (r *ruleset) countingRules() (found []Place) {
	for _, c := range r.others() {
		if c.Hooknum == nil {
			continue
		}
		for _, rule := range c.rules {
			if rule.onlyCounts() && r.isForOnePort(c, rule) {
				found = append(found, c.place)
			}
		}
	}
	return found
}

// isForOnePort reports whether a rule matches one port of one protocol, in a base chain at
// input, output or forward.
func (r *ruleset) isForOnePort(c *chain, counting rule) bool {
	directions := map[nftables.ChainHook][]accounting.Direction{
		unix.NF_INET_LOCAL_IN:  {accounting.In},
		unix.NF_INET_LOCAL_OUT: {accounting.Out},
		unix.NF_INET_FORWARD:   {accounting.In, accounting.Out}, // both pass through
	}[*c.Hooknum]
	return slices.ContainsFunc(directions, func(direction accounting.Direction) bool {
		type match struct {
			protocol accounting.Protocol
			ports    PortRange
		}
		matched := make(map[match]bool) // by a packet of some family
		for _, p := range r.selected(c, counting, packet{sourcePort: direction == accounting.Out}) {
			for _, ports := range p.ports {
				matched[match{p.protocol, ports}] = true
			}
		}
		for m := range matched {
			return len(matched) == 1 && m.ports.First == m.ports.Last
		}
		return false
	})
}

// onlyCounts reports whether a rule has a counter, and nothing else but conditions.
func (a rule) onlyCounts() (counts bool) {
	for _, expression := range a.expressions {
		switch expression.(type) {
		case *expr.Counter:
			counts = true
		case *expr.Cmp, *expr.Range, *expr.Lookup, *expr.Match, *expr.Meta, *expr.Payload, *expr.Ct, *expr.Bitwise, *expr.Fib:
		default:
			return false
		}
	}
	return counts && !a.matters()
}

// selected returns the packets like p, of every family and protocol that a chain gets,
// for which conditions may hold. p may have a family.
func (r *ruleset) selected(c *chain, conditions rule, p packet) (packets []packet) {
	accepting := rule{expressions: append(slices.Clone(conditions.expressions), &expr.Verdict{Kind: expr.VerdictAccept})}
	for _, family := range families {
		if p.family != 0 && p.family != family || slices.Contains(families[:], byte(c.table.family)) && byte(c.table.family) != family {
			continue
		}
		for _, protocol := range protocols {
			p := p
			p.family, p.protocol, p.ports = family, protocol, allPorts
			a := application{rules: r, chain: c, packet: p}
			outcomes, _ := a.apply(accepting)
			for _, o := range outcomes {
				if o.result == nil && o.verdict.Kind == expr.VerdictAccept {
					packets = append(packets, o.packet)
				}
			}
		}
	}
	return packets
}

// mirrors returns the rules that send copies of packets which are counted. A copy
// passes the output hook as a packet of its own, with the ports of the first.
func (r *ruleset) mirrors(host Host) (found []Mirror) {
	hooks := r.hooks()
	for _, c := range r.others() {
		m := Mirror{Place: c.place}
		for conditions := range c.rulesWith(is[*expr.Dup]) {
			for _, p := range r.selected(c, conditions, packet{}) {
				fromUplink := len(p.interfaces) == 1 && slices.Contains(host.Uplinks, p.interfaces[0]) // a pattern matches others, too
				for _, hook := range hooks[c] {
					m.add(hook, fromUplink)
				}
			}
		}
		if m.Sent || m.Forwarded {
			found = append(found, m)
		}
	}
	return found
}

// add adds the copies of packets at a hook, which come in by an uplink or not.
func (m *Mirror) add(hook nftables.ChainHook, fromUplink bool) {
	switch hook {
	case unix.NF_INET_LOCAL_OUT:
		m.Sent = true
	case unix.NF_INET_POST_ROUTING:
		m.Sent, m.Forwarded = true, true
	case unix.NF_INET_PRE_ROUTING, unix.NF_INET_FORWARD:
		m.Forwarded = m.Forwarded || !fromUplink
	}
}

// hooks returns at which hooks each chain gets packets.
func (r *ruleset) hooks() map[*chain][]nftables.ChainHook {
	hooks := make(map[*chain][]nftables.ChainHook)
	for _, base := range r.others() {
		if base.Hooknum == nil {
			continue
		}
		for _, c := range r.reachable(base) {
			hooks[c] = append(hooks[c], *base.Hooknum)
		}
	}
	return hooks
}

// laterDropChains returns the base chains that may drop packets after ssmonitor
// counted them.
func (r *ruleset) laterDropChains() (found []Place) {
	for _, c := range r.others() {
		if c.Hooknum == nil || c.Priority == nil || c.Type == nftables.ChainTypeNAT || !r.isLater(c) {
			continue
		}
		if c.dropsRest() || slices.ContainsFunc(r.reachable(c), r.drops) {
			found = append(found, c.place)
		}
	}
	return found
}

// dropsRest reports whether a base chain drops what no rule decides about.
func (c *chain) dropsRest() bool { return c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop }

// isLater reports whether a base chain gets packets after one of ssmonitor's. The
// order of chains with one priority depends on when they were added, so it counts
// as later. What leaves the host, or is forwarded, passes postrouting last.
func (r *ruleset) isLater(c *chain) bool {
	return slices.ContainsFunc(r.chains, func(own *chain) bool {
		switch {
		case !isOwnTable(own.table) || own.Hooknum == nil || own.Priority == nil:
			return false
		case *own.Hooknum == *c.Hooknum:
			return *c.Priority >= *own.Priority
		}
		// Where there is a chain at forward, there is one at output.
		return *own.Hooknum == *nftables.ChainHookOutput && *c.Hooknum == *nftables.ChainHookPostrouting
	})
}

// drops reports whether a chain has a rule that drops packets.
func (r *ruleset) drops(c *chain) bool {
	return slices.ContainsFunc(c.rules, func(a rule) bool {
		return slices.ContainsFunc(a.expressions, drops) ||
			slices.ContainsFunc(r.verdicts(c, a), func(v *expr.Verdict) bool { return v.Kind == expr.VerdictDrop })
	})
}

// is reports whether an expression has a type.
func is[T any](expression any) bool {
	_, ok := expression.(T)
	return ok
}

// rulesWith yields, of each rule that has such an expression, what precedes the first.
func (c *chain) rulesWith(such func(any) bool) iter.Seq[rule] {
	return func(yield func(rule) bool) {
		for _, a := range c.rules {
			if i := slices.IndexFunc(a.expressions, such); i >= 0 && !yield(rule{expressions: a.expressions[:i]}) {
				return
			}
		}
	}
}
