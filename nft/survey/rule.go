package survey

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// content is what a register of the nf_tables virtual machine holds.
type content struct {
	field    field
	constant []byte // loaded by an immediate; nil: not a constant
}

// field is the part of a packet that a register was loaded from.
type field int

const (
	fieldOther field = iota
	fieldProtocol
	fieldSourcePort
	fieldDestinationPort
)

// ruleReader follows the expressions of one rule and holds what they match and
// do, as far as it concerns ports.
type ruleReader struct {
	sets      setElements
	registers map[uint32]content

	protocols           accounting.Protocols
	source, destination []PortRange // nil: any; empty: none

	dnat      *DNAT // without Place, Protocols and Ports
	flowtable string
	counter   bool
	drops     bool
	acts      bool // does more than match and count
}

// readRule reads the expressions of a rule in order.
func readRule(expressions []expr.Any, sets setElements) (*ruleReader, error) {
	r := &ruleReader{sets: sets, registers: make(map[uint32]content), protocols: accounting.TCPAndUDP}
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

// load reports whether the expression loads a register, and records what is in
// it.
func (r *ruleReader) load(expression expr.Any) bool {
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
		return fieldProtocol // of the IPv4 header; in IPv6 it is a byte of the source address, which nobody matches alone
	}
	return fieldOther
}

// compare reports whether the expression is a comparison, and applies it.
func (r *ruleReader) compare(expression expr.Any) bool {
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

// narrow applies a condition on a field. "Not equal" is ignored: it excludes too
// little to matter.
func (r *ruleReader) narrow(f field, op expr.CmpOp, value []byte) {
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

// portsOf returns the ports that a comparison matches. ok is false for a
// comparison that narrow ignores.
func portsOf(op expr.CmpOp, port uint16) (ports []PortRange, ok bool) {
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

// restrict intersects the ports of the field with wanted.
func (r *ruleReader) restrict(f field, wanted []PortRange) {
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

// lookup applies a lookup in a set or map. The value that a map returns stays
// unknown.
func (r *ruleReader) lookup(e *expr.Lookup) error {
	key := r.registers[e.SourceRegister].field
	if e.IsDestRegSet {
		r.registers[e.DestRegister] = content{}
	}
	if e.Invert || key == fieldOther {
		return nil
	}
	elements, err := r.sets(e.SetName)
	if err != nil {
		return err
	}
	if key == fieldProtocol {
		var protocols accounting.Protocols
		for _, element := range elements {
			if len(element.Key) > 0 {
				protocols |= protocolSet(element.Key[0])
			}
		}
		r.protocols &= protocols
	} else if ports, ok := elementPorts(elements); ok {
		r.restrict(key, ports)
	}
	return nil
}

// elementPorts returns the ports in a set. In an interval set the element that
// ends an interval is the first port after it. ok is false if the keys are not
// single ports.
func elementPorts(elements []nftables.SetElement) (ports []PortRange, ok bool) {
	if slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return len(e.Key) != 2 }) {
		return nil, false
	}
	intervals := slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return e.IntervalEnd })
	slices.SortStableFunc(elements, func(a, b nftables.SetElement) int {
		order := bytes.Compare(a.Key, b.Key)
		if order == 0 && a.IntervalEnd != b.IntervalEnd { // one interval begins where another ends
			if a.IntervalEnd {
				return -1
			}
			return 1
		}
		return order
	})
	ports = []PortRange{}
	for _, element := range elements {
		port := binary.BigEndian.Uint16(element.Key)
		switch {
		case element.IntervalEnd && len(ports) > 0:
			ports[len(ports)-1].Last = port - 1
		case element.IntervalEnd: // ends what lies below the first interval
		case intervals: // open until the next end, if any
			ports = append(ports, PortRange{port, 1<<16 - 1})
		default:
			ports = append(ports, PortRange{port, port})
		}
	}
	return ports, true
}

// countedKey returns the port of a rule that counts one port of one protocol and
// does nothing else, in a base chain at input, output or forward.
func (r *ruleReader) countedKey(c *nftables.Chain) (key accounting.Key, ok bool) {
	if !r.counter || r.acts || c.Hooknum == nil {
		return key, false
	}
	ports, direction := r.destination, accounting.In
	switch uint32(*c.Hooknum) {
	case unix.NF_INET_LOCAL_IN:
	case unix.NF_INET_LOCAL_OUT:
		ports, direction = r.source, accounting.Out
	case unix.NF_INET_FORWARD: // both directions pass through
		if ports == nil {
			ports, direction = r.source, accounting.Out
		}
	default:
		return key, false
	}
	key.Direction = direction
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
