package nft

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// content is what a register of nf_tables' virtual machine holds.
type content struct {
	field    field
	constant []byte // of an immediate
}

type field int

const (
	fieldOther field = iota
	fieldProtocol
	fieldSourcePort
	fieldDestinationPort
)

// ruleReading is what a rule asks of a packet and does with it, as far as it
// concerns ports.
type ruleReading struct {
	sets      setElements
	registers map[uint32]content

	protocols           accounting.Protocols
	source, destination []PortRange // nil: any; empty: none

	translation *Translation // without Place, Protocols and Ports
	flowtable   string
	counter     bool
	drops       bool
	acts        bool // does more than to match and to count
}

// readRule follows a rule's expressions from the first to the last.
func readRule(expressions []expr.Any, sets setElements) (*ruleReading, error) {
	r := &ruleReading{sets: sets, registers: make(map[uint32]content), protocols: accounting.TCPAndUDP}
	for _, expression := range expressions {
		if r.load(expression) || r.compare(expression) {
			continue
		}
		switch e := expression.(type) {
		case *expr.Lookup:
			if err := r.lookup(e); err != nil {
				return nil, err
			}
		case *expr.Match:
			r.match(e)
		case *expr.Counter:
			r.counter = true
		default:
			r.act(expression)
		}
	}
	return r, nil
}

// load follows what writes a register, and tells whether the expression does.
func (r *ruleReading) load(expression expr.Any) bool {
	switch e := expression.(type) {
	case *expr.Meta:
		if e.SourceRegister {
			return false
		}
		c := content{}
		if e.Key == expr.MetaKeyL4PROTO {
			c.field = fieldProtocol
		}
		r.registers[e.Register] = c
	case *expr.Payload:
		if e.OperationType == expr.PayloadWrite {
			return false
		}
		r.registers[e.DestRegister] = content{field: payloadField(e)}
	case *expr.Immediate:
		r.registers[e.Register] = content{constant: e.Data}
	case *expr.Bitwise:
		r.registers[e.DestRegister] = content{}
	case *expr.Ct:
		if e.SourceRegister {
			return false
		}
		r.registers[e.Register] = content{}
	case *expr.Fib:
		r.registers[e.Register] = content{}
	case *expr.Exthdr:
		r.registers[e.DestRegister] = content{}
	case *expr.Numgen:
		r.registers[e.Register] = content{}
	case *expr.Hash:
		r.registers[e.DestRegister] = content{}
	default:
		return false
	}
	return true
}

func payloadField(e *expr.Payload) field {
	switch {
	case e.Base == expr.PayloadBaseTransportHeader && e.Offset == 0 && e.Len == 2:
		return fieldSourcePort
	case e.Base == expr.PayloadBaseTransportHeader && e.Offset == 2 && e.Len == 2:
		return fieldDestinationPort
	case e.Base == expr.PayloadBaseNetworkHeader && e.Offset == 9 && e.Len == 1:
		return fieldProtocol // of IPv4's header; in that of IPv6 nobody asks for a part of an address
	}
	return fieldOther
}

// compare follows a comparison and tells whether the expression is one.
func (r *ruleReading) compare(expression expr.Any) bool {
	switch e := expression.(type) {
	case *expr.Cmp:
		r.narrow(r.registers[e.Register].field, e.Op, e.Data)
	case *expr.Range:
		if e.Op == expr.CmpOpEq {
			field := r.registers[e.Register].field
			r.narrow(field, expr.CmpOpGte, e.FromData)
			r.narrow(field, expr.CmpOpLte, e.ToData)
		}
	default:
		return false
	}
	return true
}

// narrow takes a condition on a field over. That something is unequal says too
// little to act upon.
func (r *ruleReading) narrow(f field, op expr.CmpOp, value []byte) {
	switch {
	case f == fieldProtocol && op == expr.CmpOpEq && len(value) == 1:
		r.protocols &= protocolSet(value[0])
	case (f == fieldSourcePort || f == fieldDestinationPort) && len(value) == 2:
		if wanted, ok := portsOf(op, binary.BigEndian.Uint16(value)); ok {
			r.restrict(f, wanted)
		}
	}
}

func protocolSet(number byte) accounting.Protocols {
	switch accounting.Protocol(number) {
	case accounting.TCP:
		return accounting.OnlyTCP
	case accounting.UDP:
		return accounting.OnlyUDP
	}
	return 0
}

// portsOf returns the ports that a comparison lets pass.
func portsOf(op expr.CmpOp, port uint16) ([]PortRange, bool) {
	const last = 1<<16 - 1
	switch op {
	case expr.CmpOpEq:
		return []PortRange{{port, port}}, true
	case expr.CmpOpGte:
		return []PortRange{{port, last}}, true
	case expr.CmpOpLte:
		return []PortRange{{0, port}}, true
	case expr.CmpOpGt:
		if port == last {
			return []PortRange{}, true
		}
		return []PortRange{{port + 1, last}}, true
	case expr.CmpOpLt:
		if port == 0 {
			return []PortRange{}, true
		}
		return []PortRange{{0, port - 1}}, true
	}
	return nil, false
}

// restrict leaves those ports that are in wanted as well.
func (r *ruleReading) restrict(f field, wanted []PortRange) {
	ports := &r.destination
	if f == fieldSourcePort {
		ports = &r.source
	}
	if *ports == nil {
		*ports = wanted
		return
	}
	both := []PortRange{}
	for _, a := range *ports {
		for _, b := range wanted {
			if first, last := max(a.First, b.First), min(a.Last, b.Last); first <= last {
				both = append(both, PortRange{first, last})
			}
		}
	}
	*ports = both
}

// lookup follows a look into a set, or into a map, whose answer is not known.
func (r *ruleReading) lookup(e *expr.Lookup) error {
	asked := r.registers[e.SourceRegister].field
	if e.IsDestRegSet {
		r.registers[e.DestRegister] = content{}
	}
	if e.Invert || asked == fieldOther {
		return nil
	}
	elements, err := r.sets(e.SetName)
	if err != nil {
		return err
	}
	if asked == fieldProtocol {
		var protocols accounting.Protocols
		for _, element := range elements {
			if len(element.Key) > 0 {
				protocols |= protocolSet(element.Key[0])
			}
		}
		r.protocols &= protocols
	} else if ports, ok := elementPorts(elements); ok {
		r.restrict(asked, ports)
	}
	return nil
}

// elementPorts returns the ports in a set. In one of intervals the element that
// ends an interval is the first that is outside. ok is false where the keys are
// more than a port.
func elementPorts(elements []nftables.SetElement) (ports []PortRange, ok bool) {
	if slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return len(e.Key) != 2 }) {
		return nil, false
	}
	intervals := slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return e.IntervalEnd })
	slices.SortFunc(elements, func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) })
	ports = []PortRange{}
	for _, element := range elements {
		port := binary.BigEndian.Uint16(element.Key)
		switch {
		case element.IntervalEnd && len(ports) > 0:
			ports[len(ports)-1].Last = port - 1
		case element.IntervalEnd: // what is below the first interval
		case intervals: // open until the next end, if there is one
			ports = append(ports, PortRange{port, 1<<16 - 1})
		default:
			ports = append(ports, PortRange{port, port})
		}
	}
	return ports, true
}

// match follows an extension of iptables that nf_tables has no expression for.
func (r *ruleReading) match(e *expr.Match) {
	switch info := e.Info.(type) {
	case *xt.Tcp:
		r.protocols &= accounting.OnlyTCP
		r.matchPorts(fieldSourcePort, info.SrcPorts, info.InvFlags&xt.TcpInvSrcPorts != 0)
		r.matchPorts(fieldDestinationPort, info.DstPorts, info.InvFlags&xt.TcpInvDestPorts != 0)
	case *xt.Udp:
		r.protocols &= accounting.OnlyUDP
		r.matchPorts(fieldSourcePort, info.SrcPorts, info.InvFlags&xt.UdpInvSrcPorts != 0)
		r.matchPorts(fieldDestinationPort, info.DstPorts, info.InvFlags&xt.UdpInvDestPorts != 0)
	case *xt.Unknown:
		if e.Name == "multiport" && e.Rev == 1 {
			r.matchMultiport(*info)
		}
	}
}

// matchPorts takes a range of the tcp or udp extension over; all ports stand
// for no condition.
func (r *ruleReading) matchPorts(f field, ports [2]uint16, inverted bool) {
	if !inverted && ports != [2]uint16{0, 1<<16 - 1} {
		r.restrict(f, []PortRange{{ports[0], ports[1]}})
	}
}

// matchMultiport decodes struct xt_multiport_v1 of
// include/uapi/linux/netfilter/xt_multiport.h.
func (r *ruleReading) matchMultiport(info []byte) {
	const (
		most      = 15 // XT_MULTI_PORTS
		portsAt   = 2
		rangesAt  = portsAt + 2*most
		invertAt  = rangesAt + most
		sources   = 0 // XT_MULTIPORT_SOURCE
		targets   = 1 // XT_MULTIPORT_DESTINATION
		inversion = 1
	)
	if len(info) <= invertAt || info[invertAt] == inversion || info[1] > most {
		return
	}
	ports := []PortRange{}
	for i := 0; i < int(info[1]); i++ {
		port := binary.NativeEndian.Uint16(info[portsAt+2*i:])
		if i > 0 && info[rangesAt+i-1] != 0 {
			ports[len(ports)-1].Last = port
		} else {
			ports = append(ports, PortRange{port, port})
		}
	}
	switch info[0] {
	case sources:
		r.restrict(fieldSourcePort, ports)
	case targets:
		r.restrict(fieldDestinationPort, ports)
	}
}

// act follows what a rule does with the packets that match.
func (r *ruleReading) act(expression expr.Any) {
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
			r.translation = r.translated(e)
		}
	case *expr.Redir:
		r.translation = &Translation{Port: r.constantPort(e.RegisterProtoMin)}
	case *expr.Target:
		r.target(e)
	}
}

func (r *ruleReading) translated(e *expr.NAT) *Translation {
	t := &Translation{Port: r.constantPort(e.RegProtoMin)}
	if e.RegAddrMin != 0 {
		address, known := netip.AddrFromSlice(r.registers[e.RegAddrMin].constant)
		t.Address, t.Mapped = address, !known
	}
	return t
}

// constantPort returns the port in a register, 0 where the rule names none or
// takes it from a map.
func (r *ruleReading) constantPort(register uint32) uint16 {
	if constant := r.registers[register].constant; register != 0 && len(constant) >= 2 {
		return binary.BigEndian.Uint16(constant)
	}
	return 0
}

// target follows a target of iptables that nf_tables has no expression for.
func (r *ruleReading) target(e *expr.Target) {
	switch e.Name {
	case "REJECT":
		r.drops = true
	case "DNAT", "REDIRECT":
		r.translation = &Translation{}
		switch info := e.Info.(type) {
		case *xt.NatRange:
			r.translateTo(*info)
		case *xt.NatRange2:
			r.translateTo(info.NatRange)
		case *xt.NatIPv4MultiRangeCompat:
			for _, to := range *info { // there is never more than one
				r.translateTo(xt.NatRange{Flags: to.Flags, MinIP: to.MinIP, MinPort: to.MinPort})
			}
		}
	}
}

func (r *ruleReading) translateTo(to xt.NatRange) {
	if xt.NatRangeFlags(to.Flags)&xt.NatRangeMapIPs != 0 {
		address, known := netip.AddrFromSlice(to.MinIP)
		r.translation.Address, r.translation.Mapped = address, !known
	}
	if xt.NatRangeFlags(to.Flags)&xt.NatRangeProtoSpecified != 0 {
		r.translation.Port = to.MinPort
	}
}

// counts returns what a rule at input or output counts, where it is one port of
// one protocol and the rule does nothing else.
func (r *ruleReading) counts(c *nftables.Chain) (key accounting.Key, ok bool) {
	if !r.counter || r.acts || c.Hooknum == nil {
		return key, false
	}
	ports := r.destination
	switch uint32(*c.Hooknum) {
	case unix.NF_INET_LOCAL_IN:
		key.Direction = accounting.In
	case unix.NF_INET_LOCAL_OUT:
		key.Direction, ports = accounting.Out, r.source
	default:
		return key, false
	}
	switch r.protocols {
	case accounting.OnlyTCP:
		key.Protocol = accounting.TCP
	case accounting.OnlyUDP:
		key.Protocol = accounting.UDP
	default:
		return key, false
	}
	if len(ports) != 1 || ports[0].First != ports[0].Last {
		return key, false
	}
	key.Port = ports[0].First
	return key, true
}
