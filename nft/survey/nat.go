package survey

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// destination is what a translation makes of a destination. Ranges include their
// ends.
type destination struct {
	first, last         netip.Addr // the zero Addr: this host, or unchanged
	firstPort, lastPort uint16     // 0: unchanged
	shifted             bool       // the new port is as far from firstPort as the old one from basePort
	basePort            uint16
}

// nat applies a NAT expression.
func (r *run) nat(t thread, e *expr.NAT) []thread {
	if e.Type != expr.NATTypeDestNAT || e.Family != unix.NFPROTO_INET && byte(e.Family) != t.family {
		return []thread{t}
	}
	to, reason := t.destination(e)
	r.found(result{t.packet, to, reason})
	return nil
}

// destination decodes the new destination of a NAT expression. The reason is why
// it can't.
func (t *thread) destination(e *expr.NAT) (to destination, reason string) {
	if e.Prefix {
		return to, "it translates a whole network to another"
	}
	if e.RegAddrMin != 0 {
		var ok, lastOK bool
		to.first, ok = t.address(e.RegAddrMin)
		to.last, lastOK = to.first, ok
		if e.RegAddrMax != 0 {
			to.last, lastOK = t.address(e.RegAddrMax)
		}
		if !ok || !lastOK {
			return to, "the new address depends on more than the port"
		}
	}
	var ok bool
	if to.firstPort, to.lastPort, ok = t.newPorts(e.RegProtoMin, e.RegProtoMax); !ok {
		return to, "the new port depends on more than the port"
	}
	return to, ""
}

// address returns the address in a register. That of the packet's own destination
// is the zero Addr.
func (t *thread) address(register uint32) (address netip.Addr, ok bool) {
	cells := t.read(register, t.addressLength())
	if slices.Equal(cells, fieldCells(addressField, len(cells))) {
		return netip.Addr{}, true
	}
	value, ok := valueOf(cells)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(value)
}

// newPorts returns the range of ports in two registers; 0 if the port stays.
func (t *thread) newPorts(firstRegister, lastRegister uint32) (first, last uint16, ok bool) {
	if firstRegister == 0 {
		return 0, 0, true
	}
	cells := t.read(firstRegister, 2)
	if slices.Equal(cells, fieldCells(portField, 2)) {
		return 0, 0, true
	}
	value, ok := valueOf(cells)
	if !ok {
		return 0, 0, false
	}
	first = binary.BigEndian.Uint16(value)
	if lastRegister == 0 || lastRegister == firstRegister {
		return first, first, true
	}
	if value, ok = valueOf(t.read(lastRegister, 2)); !ok {
		return 0, 0, false
	}
	return first, binary.BigEndian.Uint16(value), true
}

// valueOf returns the value of cells that are all known.
func valueOf(cells []cell) (value []byte, ok bool) {
	for _, c := range cells {
		if c.field != constant {
			return nil, false
		}
		value = append(value, c.value)
	}
	return value, true
}

// redirect applies a redirection to this host.
func (r *run) redirect(t thread, e *expr.Redir) {
	first, last, ok := t.newPorts(e.RegisterProtoMin, e.RegisterProtoMax)
	found := result{packet: t.packet, to: destination{firstPort: first, lastPort: last}}
	if !ok {
		found.reason = "the new port depends on more than the port"
	}
	r.found(found)
}

// iptablesNAT applies a DNAT or REDIRECT target of iptables.
func (r *run) iptablesNAT(t thread, name string, info xt.InfoAny) {
	var given xt.NatRange2
	switch info := info.(type) {
	case *xt.NatRange:
		given.NatRange = *info
	case *xt.NatRange2:
		given = *info
	case *xt.NatIPv4MultiRangeCompat:
		for _, only := range *info { // the kernel accepts one
			given.NatRange = xt.NatRange(only)
		}
	default:
		r.found(result{packet: t.packet, reason: "target " + name + " has a form that is not known"})
		return
	}
	var to destination
	flags := xt.NatRangeFlags(given.Flags)
	if flags&xt.NatRangeMapIPs != 0 {
		to.first, _ = netip.AddrFromSlice(given.MinIP)
		to.last, _ = netip.AddrFromSlice(given.MaxIP)
	}
	if flags&xt.NatRangeProtoSpecified != 0 {
		to.firstPort, to.lastPort = given.MinPort, given.MaxPort
		to.shifted, to.basePort = flags&xt.NatRangeProtoOffset != 0, given.BasePort
	}
	r.found(result{packet: t.packet, to: to})
}
