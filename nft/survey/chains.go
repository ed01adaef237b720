package survey

import (
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
func (r *ruleset) countingRules() (found []CountingRule) {
	for _, c := range r.others() {
		if c.Hooknum == nil {
			continue
		}
		for _, rule := range c.rules {
			if key, ok := r.countedKey(c, rule); ok {
				found = append(found, CountingRule{c.place, key})
			}
		}
	}
	return found
}

// countedKey returns the port of a rule that counts one port of one protocol and
// does nothing else, in a base chain at input, output or forward.
func (r *ruleset) countedKey(c *chain, counting rule) (key accounting.Key, ok bool) {
	if !counting.onlyCounts() {
		return key, false
	}
	directions := map[nftables.ChainHook][]accounting.Direction{
		unix.NF_INET_LOCAL_IN:  {accounting.In},
		unix.NF_INET_LOCAL_OUT: {accounting.Out},
		unix.NF_INET_FORWARD:   {accounting.In, accounting.Out}, // both pass through
	}[*c.Hooknum]
	for _, direction := range directions {
		if key, ok = r.onlyPort(c, counting, direction); ok {
			return key, true
		}
	}
	return key, false
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

// onlyPort returns the port and protocol of a rule that matches no other.
func (r *ruleset) onlyPort(c *chain, counting rule, direction accounting.Direction) (key accounting.Key, ok bool) {
	for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
		var ports []PortRange
		for _, family := range c.families() {
			p := packet{family: family, protocol: protocol, ports: allPorts, sourcePort: direction == accounting.Out}
			for _, p := range r.matching(c, counting, p) {
				ports = append(ports, p.ports...)
			}
		}
		switch matched := newPortSet(ports); {
		case len(matched) == 0:
		case ok || len(matched) > 1 || matched[0].First != matched[0].Last:
			return accounting.Key{}, false
		default:
			key, ok = accounting.Key{Port: matched[0].First, Protocol: protocol, Direction: direction}, true
		}
	}
	return key, ok
}

func (c *chain) families() []byte {
	switch c.table.family {
	case nftables.TableFamilyIPv4:
		return []byte{unix.NFPROTO_IPV4}
	case nftables.TableFamilyIPv6:
		return []byte{unix.NFPROTO_IPV6}
	}
	return []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}
}

// matching returns the packets, of those that p stands for, that a rule may match.
func (r *ruleset) matching(c *chain, matched rule, p packet) (packets []packet) {
	accepting := rule{expressions: append(slices.Clone(matched.expressions), &expr.Verdict{Kind: expr.VerdictAccept})}
	for _, o := range (&run{rules: r, chain: c, found: func(result) {}}).apply(accepting, p) {
		if o.verdict.Kind == expr.VerdictAccept {
			packets = append(packets, o.packet)
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
		for _, a := range c.rules {
			if i := slices.IndexFunc(a.expressions, copies); i >= 0 {
				r.mirror(&m, c, rule{expressions: a.expressions[:i]}, hooks[c], host)
			}
		}
		if m.Sent || m.Forwarded {
			found = append(found, m)
		}
	}
	return found
}

// mirror adds to a mirror the packets that match a rule's conditions at hooks.
func (r *ruleset) mirror(m *Mirror, c *chain, conditions rule, hooks []nftables.ChainHook, host Host) {
	for _, p := range r.matched(c, conditions) {
		fromUplink := len(p.interfaces) == 1 && slices.Contains(host.Uplinks, p.interfaces[0]) // a pattern matches others, too
		for _, hook := range hooks {
			switch hook {
			case unix.NF_INET_LOCAL_OUT:
				m.Sent = true
			case unix.NF_INET_POST_ROUTING:
				m.Sent, m.Forwarded = true, true
			case unix.NF_INET_PRE_ROUTING, unix.NF_INET_FORWARD:
				m.Forwarded = m.Forwarded || !fromUplink
			}
		}
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

// matched returns the packets that a rule may match.
func (r *ruleset) matched(c *chain, matching rule) (packets []packet) {
	for _, family := range c.families() {
		for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
			packets = append(packets, r.matching(c, matching, packet{family: family, protocol: protocol, ports: allPorts})...)
		}
	}
	return packets
}

// copies reports whether an expression sends a copy of the packet elsewhere.
func copies(expression any) bool {
	switch e := expression.(type) {
	case *expr.Dup:
		return true
	case *expr.Target:
		return e.Name == "TEE"
	}
	return false
}

// laterDropChains returns the base chains that may drop packets after ssmonitor
// counted them.
func (r *ruleset) laterDropChains() (found []Place) {
	for _, c := range r.others() {
		if c.Hooknum == nil || c.Priority == nil || c.Type == nftables.ChainTypeNAT || !r.isLater(c) {
			continue
		}
		if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop || slices.ContainsFunc(r.reachable(c), r.drops) {
			found = append(found, c.place)
		}
	}
	return found
}

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
		return slices.ContainsFunc(a.expressions, refuses) ||
			slices.ContainsFunc(r.verdicts(c, a), func(v *expr.Verdict) bool { return v.Kind == expr.VerdictDrop })
	})
}

// refuses reports whether an expression refuses packets with an answer.
func refuses(expression any) bool {
	switch e := expression.(type) {
	case *expr.Reject:
		return true
	case *expr.Target:
		return e.Name == "REJECT"
	}
	return false
}
