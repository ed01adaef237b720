package survey

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// destination is what a translation makes of a destination. Ranges include their
// ends.
type destination struct {
	first, last         netip.Addr // the zero Addr: this host, or unchanged
	firstPort, lastPort uint16     // 0: unchanged
	shifted             bool       // the new port is as far from firstPort as the old one from basePort
	basePort            uint16
}

// destinationNAT returns the new destination of a NAT expression.
func (t *thread) destinationNAT(e *expr.NAT) result {
	if e.Prefix {
		return result{reason: "it translates a whole network to another"}
	}
	return t.newDestination(e.RegAddrMin, e.RegAddrMax, e.RegProtoMin, e.RegProtoMax)
}

// newDestination returns the new destination that registers hold; 0 is no register.
func (t *thread) newDestination(firstAddress, lastAddress, firstPort, lastPort uint32) result {
	addresses, ok := t.newValues(firstAddress, lastAddress, addressField, t.addressLength())
	if !ok {
		return result{reason: "the new address depends on more than the port"}
	}
	ports, ok := t.newValues(firstPort, lastPort, portField, 2)
	if !ok {
		return result{reason: "the new port depends on more than the port"}
	}
	var to destination
	to.first, _ = netip.AddrFromSlice(addresses.first)
	to.last, _ = netip.AddrFromSlice(addresses.last)
	if ports.first != nil {
		to.firstPort, to.lastPort = binary.BigEndian.Uint16(ports.first), binary.BigEndian.Uint16(ports.last)
	}
	return result{to: to}
}

// newValues returns the range of values in two registers: nil if there is none, or if
// the packet's own field stays. It returns false if they are not known.
func (t *thread) newValues(first, last uint32, own field, length int) (values interval, ok bool) {
	if first == 0 {
		return interval{}, true
	}
	lowest := t.read(first, length)
	highest := lowest
	if last != 0 {
		highest = t.read(last, length)
	}
	if stays := fieldCells(own, length); slices.Equal(lowest, stays) && slices.Equal(highest, stays) {
		return interval{}, true
	}
	values.first, ok = valueOf(lowest)
	if ok {
		values.last, ok = valueOf(highest)
	}
	return values, ok
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

// iptablesNAT applies a DNAT or REDIRECT target of iptables.
func (a *application) iptablesNAT(t thread, name string, info xt.InfoAny) {
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
		a.report(t, result{reason: "target " + name + " has a form that is not known"})
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
	a.report(t, result{to: to})
}
