package survey

import (
	"slices"

	"ssmonitor/accounting"
)

// Transparent is a rule that hands what is sent to ports of other hosts to a program
// of this host, without changing where it was sent to.
type Transparent struct {
	Place    Place
	Protocol accounting.Protocol
	Ports    PortRange
}

// transparent returns the rules that hand packets to other hosts to a program of this
// one. Of a rule, its own conditions are considered.
func (r *ruleset) transparent() (found []Transparent) {
	for _, family := range families {
		path := r.prerouting(family)
		for _, c := range r.reachable(slices.Concat(path.before, path.after)...) {
			for conditions := range c.rulesWith(is[tproxy]) {
				for _, p := range mergePackets(r.selected(c, conditions, packet{family: family, toOthers: true})) {
					for _, ports := range p.ports {
						if !p.toHost {
							found = append(found, Transparent{c.place, p.protocol, ports})
						}
					}
				}
			}
		}
	}
	return found
}

// tproxy hands a packet to a program of this host as it is.
type tproxy struct {
	accepts bool // the target of iptables ends the rule, the expression of nf_tables does not
}
