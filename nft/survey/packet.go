package survey

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// packet stands for the first packets of connections that clients open to ports of
// this host: what they have in common is known, and what they may differ in is a
// condition on the way.
type packet struct {
	family     byte // unix.NFPROTO_IPV4 or unix.NFPROTO_IPV6
	protocol   accounting.Protocol
	ports      portSet
	sourcePort bool         // whether ports are source ports, not destination ports
	addresses  []netip.Addr // the destination is one of these; empty: unknown
	mark       [4]cell
	connMark   [4]cell
	tracked    bool // whether connection tracking has seen the packet
	untracked  bool // whether it won't

	sender
	demands
	byMark   demands // what was demanded when a rule set the mark: who asks for it demands the same
	doubts   doubts
	toOthers bool // the destination is another host
}

// doubts says why packets may not reach this rule. Other unknown conditions, such as a
// limit, don't count: some packets pass them.
type doubts uint8

const (
	unknownSender doubts = 1 << iota // a condition on the way is on their origin, and not understood
	unsetMark                        // a condition on the way holds for a mark that no rule sets
)

// doubtsAbout returns the doubts about packets for which a condition on cells may hold.
func doubtsAbout(cells []cell) (found doubts) {
	if has(cells, otherOrigin) {
		found |= unknownSender
	}
	if has(cells, foreignMark) {
		found |= unsetMark
	}
	return found
}

// sender is what conditions on the way require of a packet's origin.
type sender struct {
	interfaces []string       // it comes in by one of these; empty: by any
	excluded   []string       // and by none of these uplinks, or patterns of such
	uplinks    []string       // of this host
	sources    []netip.Prefix // it has a source address in one of these; empty: any
	sourceSets []string       // its source is in each of these sets
}

func (p *packet) isIPv4() bool { return p.family == unix.NFPROTO_IPV4 }

// meta returns what a meta expression loads.
func (p *packet) meta(key expr.MetaKey) []cell {
	switch key {
	case expr.MetaKeyL4PROTO:
		return constantCells([]byte{byte(p.protocol)})
	case expr.MetaKeyNFPROTO:
		return constantCells([]byte{p.family})
	case expr.MetaKeyPROTOCOL:
		etherType := uint16(unix.ETH_P_IPV6)
		if p.isIPv4() {
			etherType = unix.ETH_P_IP
		}
		return constantCells(binary.BigEndian.AppendUint16(nil, etherType))
	case expr.MetaKeyPKTTYPE:
		return constantCells([]byte{unix.PACKET_HOST})
	case expr.MetaKeyMARK:
		return p.mark[:]
	case expr.MetaKeyIIF:
		return fieldCells(interfaceIndex, 4)
	case expr.MetaKeyIIFNAME:
		return p.incoming()
	case expr.MetaKeyPRANDOM, expr.MetaKeyLEN, expr.MetaKeyPRIORITY, expr.MetaKeyCPU, expr.MetaKeyNFTRACE, metaKeyTime, metaKeyDay, metaKeyHour:
		return make([]cell, 8)
	}
	return fieldCells(otherOrigin, unix.IFNAMSIZ)
}

// Members of enum nft_meta_keys that the library doesn't have.
const (
	metaKeyTime expr.MetaKey = 30 + iota
	metaKeyDay
	metaKeyHour
)

// linkSource is where the source is in a header of Ethernet.
const linkSource = 6

// incoming returns the name of the incoming interface, which is known once a
// condition requires one.
func (p *packet) incoming() []cell {
	if len(p.interfaces) == 1 && !strings.HasSuffix(p.interfaces[0], "*") {
		return constantCells(append([]byte(p.interfaces[0]), make([]byte, unix.IFNAMSIZ)...)[:unix.IFNAMSIZ])
	}
	return fieldCells(interfaceName, unix.IFNAMSIZ)
}

// payload returns bytes of a header.
func (p *packet) payload(base expr.PayloadBase, offset, length uint32) []cell {
	cells := make([]cell, min(length, registerBytes))
	for i := range cells {
		at := int(min(offset, 1<<16)) + i
		switch {
		case base == expr.PayloadBaseLLHeader && at >= linkSource:
			cells[i] = fieldCell(otherOrigin, i)
		case base == expr.PayloadBaseTransportHeader:
			cells[i] = p.transportHeader(at)
		case base == expr.PayloadBaseNetworkHeader && p.isIPv4():
			cells[i] = p.networkHeader(at, 9, 12, 4)
		case base == expr.PayloadBaseNetworkHeader:
			cells[i] = p.networkHeader(at, 6, 8, 16)
		}
	}
	return cells
}

// networkHeader returns byte at of a header that has the protocol, and the two
// addresses in a row, at the offsets.
func (p *packet) networkHeader(at, protocol, source, length int) cell {
	destination := source + length
	switch {
	case at == protocol:
		return constantCell(byte(p.protocol))
	case source <= at && at < destination:
		return fieldCell(sourceField, at-source)
	case destination <= at && at < destination+length:
		return fieldCell(addressField, at-destination)
	}
	return cell{}
}

func (p *packet) transportHeader(at int) cell {
	const (
		tcpFlags = 13
		syn      = 2
	)
	port := 2
	if p.sourcePort {
		port = 0
	}
	switch {
	case at == port || at == port+1:
		return fieldCell(portField, at-port)
	case at == tcpFlags && p.protocol == accounting.TCP:
		return constantCell(syn) // of the first packet
	}
	return cell{}
}

// conntrack returns what a ct expression loads.
func (p *packet) conntrack(e *expr.Ct) []cell {
	const original = 0
	switch {
	case !p.tracked:
	case e.Key == expr.CtKeySTATE:
		return constantCells(binary.NativeEndian.AppendUint32(nil, expr.CtStateBitNEW))
	case e.Key == expr.CtKeyDIRECTION:
		return constantCells([]byte{original})
	case e.Key == expr.CtKeyMARK:
		return p.connMark[:]
	case e.Key == expr.CtKeyZONE || e.Key == expr.CtKeyLABELS:
		return fieldCells(otherOrigin, 16)
	case e.Key == expr.CtKeyPROTOCOL:
		return constantCells([]byte{byte(p.protocol)})
	case e.Direction != original:
	case e.Key == expr.CtKeyPROTODST && !p.sourcePort:
		return fieldCells(portField, 2)
	case e.Key == expr.CtKeyDST || e.Key == expr.CtKeyDSTIP || e.Key == expr.CtKeyDSTIP6:
		return fieldCells(addressField, p.addressLength())
	case e.Key == expr.CtKeySRC || e.Key == expr.CtKeySRCIP || e.Key == expr.CtKeySRCIP6:
		return fieldCells(sourceField, p.addressLength())
	}
	return make([]cell, 16)
}

// route returns what a fib expression loads.
func (p *packet) route(e *expr.Fib) []cell {
	switch {
	case e.FlagSADDR && !e.ResultADDRTYPE && !e.FlagIIF:
		return fieldCells(otherOrigin, unix.IFNAMSIZ)
	case e.FlagSADDR || !e.ResultADDRTYPE:
		return make([]cell, unix.IFNAMSIZ)
	case e.FlagIIF || e.FlagOIF:
		return fieldCells(addressTypeHere, 4)
	}
	return fieldCells(addressType, 4)
}

func (p *packet) addressLength() int {
	if p.isIPv4() {
		return 4
	}
	return 16
}

// localType is what the routing table says of an address of this host, as a fib
// expression loads it.
var localType = binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)

// resolved returns the cells with what is known of every packet filled in.
func (p *packet) resolved(cells []cell) []cell {
	if p.toOthers {
		return fill(cells, addressType, binary.NativeEndian.AppendUint32(nil, unix.RTN_UNICAST))
	}
	return fill(cells, addressType, localType)
}

// byAddress calls ask with the cells for each destination address, and returns
// packets with the addresses for which the answer is the same.
func (p *packet) byAddress(cells []cell, ask func([]cell) answer) (packets []packet, answers []answer) {
	cells = p.resolved(cells)
	if len(p.addresses) == 0 || !has(cells, addressField) {
		return []packet{*p}, []answer{ask(cells)}
	}
	for _, address := range p.addresses {
		a := ask(fill(cells, addressField, address.AsSlice()))
		i := slices.IndexFunc(answers, func(b answer) bool { return slices.Equal(a.may, b.may) && slices.Equal(a.must, b.must) })
		if i < 0 {
			i = len(answers)
			some := *p
			some.addresses = nil
			packets, answers = append(packets, some), append(answers, a)
		}
		packets[i].addresses = append(packets[i].addresses, address)
	}
	return packets, answers
}
