package survey

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// act records what the rule does with the packets that match.
func (r *ruleReader) act(expression expr.Any) {
	r.acts = true
	switch e := expression.(type) {
	case *expr.Verdict:
		r.drops = r.drops || e.Kind == expr.VerdictDrop
	case *expr.Reject:
		r.drops = true
	case *expr.FlowOffload:
		r.flowtable = e.Name
	case *expr.NAT:
		if e.Type == expr.NATTypeDestNAT {
			r.dnat = r.dnatOf(e)
		}
	case *expr.Redir:
		r.dnat = &DNAT{Port: r.constantPort(e.RegisterProtoMin)}
	case *expr.Target:
		r.target(e)
	}
}

// dnatOf decodes the new destination of a NAT expression.
func (r *ruleReader) dnatOf(e *expr.NAT) *DNAT {
	d := &DNAT{Port: r.constantPort(e.RegProtoMin)}
	if e.RegAddrMin != 0 {
		address, known := netip.AddrFromSlice(r.registers[e.RegAddrMin].constant)
		d.Address, d.Mapped = address, !known
	}
	return d
}

// constantPort returns the port in a register, or 0 if the rule sets no port or
// takes it from a map.
func (r *ruleReader) constantPort(register uint32) uint16 {
	if constant := r.registers[register].constant; register != 0 && len(constant) >= 2 {
		return binary.BigEndian.Uint16(constant)
	}
	return 0
}

// target records an iptables target that nf_tables has no expression for.
func (r *ruleReader) target(e *expr.Target) {
	switch e.Name {
	case "REJECT":
		r.drops = true
	case "DNAT", "REDIRECT":
		r.dnat = &DNAT{}
		switch info := e.Info.(type) {
		case *xt.NatRange:
			r.translateTo(*info)
		case *xt.NatRange2:
			r.translateTo(info.NatRange)
		case *xt.NatIPv4MultiRangeCompat:
			for _, to := range *info { // the kernel accepts only one
				r.translateTo(xt.NatRange{Flags: to.Flags, MinIP: to.MinIP, MinPort: to.MinPort})
			}
		}
	}
}

func (r *ruleReader) translateTo(to xt.NatRange) {
	if xt.NatRangeFlags(to.Flags)&xt.NatRangeMapIPs != 0 {
		address, known := netip.AddrFromSlice(to.MinIP)
		r.dnat.Address, r.dnat.Mapped = address, !known
	}
	if xt.NatRangeFlags(to.Flags)&xt.NatRangeProtoSpecified != 0 {
		r.dnat.Port = to.MinPort
	}
}
