package survey

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

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
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		path := r.prerouting(nftables.TableFamily(family))
		for _, base := range slices.Concat(path.before, path.after) {
			for _, c := range r.reachable(base) {
				for _, a := range c.rules {
					if i := slices.IndexFunc(a.expressions, proxies); i >= 0 {
						found = append(found, r.proxied(c, rule{expressions: a.expressions[:i]}, family)...)
					}
				}
			}
		}
	}
	return found
}

// proxied returns the ports of packets to other hosts that match conditions.
func (r *ruleset) proxied(c *chain, conditions rule, family byte) (found []Transparent) {
	for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
		packets := r.matching(c, conditions, packet{family: family, protocol: protocol, ports: allPorts, toOthers: true})
		for _, p := range mergePackets(packets) {
			for _, ports := range p.ports {
				if !p.toHost {
					found = append(found, Transparent{c.place, protocol, ports})
				}
			}
		}
	}
	return found
}

// tproxy hands a packet to a program of this host as it is.
type tproxy struct{}

func proxies(expression any) bool {
	switch e := expression.(type) {
	case tproxy:
		return true
	case *expr.Target:
		return e.Name == "TPROXY"
	}
	return false
}
