package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	msgNew = unix.NFNL_SUBSYS_CTNETLINK << 8 // and IPCTNL_MSG_CT_NEW, which is 0: an entry
	msgGet = msgNew | 1                      // IPCTNL_MSG_CT_GET

	attrOriginal = 1 // CTA_TUPLE_ORIG
	attrReply    = 2 // CTA_TUPLE_REPLY
	attrStatus   = 3 // CTA_STATUS (__u32, be)

	attrTupleIP       = 1 // CTA_TUPLE_IP
	attrTupleProtocol = 2 // CTA_TUPLE_PROTO

	attrIPv4Source      = 1 // CTA_IP_V4_SRC
	attrIPv4Destination = 2 // CTA_IP_V4_DST
	attrIPv6Source      = 3 // CTA_IP_V6_SRC
	attrIPv6Destination = 4 // CTA_IP_V6_DST

	attrProtocolNumber  = 1 // CTA_PROTO_NUM (__u8)
	attrSourcePort      = 2 // CTA_PROTO_SRC_PORT (__be16)
	attrDestinationPort = 3 // CTA_PROTO_DST_PORT (__be16)
)

// statusDestinationTranslated is IPS_DST_NAT of
// include/uapi/linux/netfilter/nf_conntrack_common.h.
const statusDestinationTranslated = 1 << 5

// headerLength is that of struct nlmsghdr and struct nfgenmsg
// (include/uapi/linux/netfilter/nfnetlink.h).
const headerLength = unix.SizeofNlMsghdr + 4

// sequence numbers the only request of a socket.
const sequence = 1

// request returns the request to dump the entries that have all bits of status. A
// kernel before Linux 5.8 does not know the filter and dumps every entry.
func request(status uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 0) // nlmsg_len
	b = binary.NativeEndian.AppendUint16(b, msgGet)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // nlmsg_pid
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0)
	if status != 0 {
		b = binary.NativeEndian.AppendUint16(b, unix.SizeofNlAttr+4)
		b = binary.NativeEndian.AppendUint16(b, attrStatus)
		b = binary.BigEndian.AppendUint32(b, status)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

// visitDump passes the flows in a datagram of a dump to visit. done reports the
// dump's end. It keeps nothing of the datagram.
func visitDump(datagram []byte, visit func(Flow)) (done bool, err error) {
	for len(datagram) > 0 {
		if len(datagram) < unix.SizeofNlMsghdr {
			return false, fmt.Errorf("%w: %d bytes left of a datagram", ErrMalformed, len(datagram))
		}
		length := int(binary.NativeEndian.Uint32(datagram))
		if length < unix.SizeofNlMsghdr || length > len(datagram) {
			return false, fmt.Errorf("%w: a message of %d bytes in a datagram of %d", ErrMalformed, length, len(datagram))
		}
		message := datagram[:length]
		datagram = datagram[min(align(length), len(datagram)):]
		typ, flags := binary.NativeEndian.Uint16(message[4:]), binary.NativeEndian.Uint16(message[6:])
		switch {
		case binary.NativeEndian.Uint32(message[8:]) != sequence:
		case flags&unix.NLM_F_DUMP_INTR != 0:
			return false, ErrInterrupted
		case typ == unix.NLMSG_DONE, typ == unix.NLMSG_ERROR:
			return true, errno(message[unix.SizeofNlMsghdr:])
		case typ == msgNew && length >= headerLength:
			if flow, ok := decodeFlow(message[headerLength:]); ok {
				visit(flow)
			}
		}
	}
	return false, nil
}

// errno returns what NLMSG_DONE and NLMSG_ERROR begin with: a negative error
// number, or 0 for success.
func errno(payload []byte) error {
	if len(payload) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(payload)); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}

// decodeFlow decodes the attributes of an entry. ok is false unless it is one of
// TCP or UDP with all its addresses and ports.
func decodeFlow(list []byte) (flow Flow, ok bool) {
	var original, reply bool
	for typ, value, rest, more := nextAttribute(list); more; typ, value, rest, more = nextAttribute(rest) {
		switch typ {
		case attrOriginal:
			flow.Protocol, flow.Original, original = decodeTuple(value)
		case attrReply:
			_, flow.Reply, reply = decodeTuple(value)
		}
		if original && reply {
			return flow, true // what follows is most of the entry
		}
	}
	return Flow{}, false
}

func decodeTuple(list []byte) (protocol accounting.Protocol, tuple Tuple, ok bool) {
	var source, destination netip.Addr
	var sourcePort, destinationPort uint16
	for typ, value, rest, more := nextAttribute(list); more; typ, value, rest, more = nextAttribute(rest) {
		switch typ {
		case attrTupleIP:
			source, destination = decodeAddresses(value)
		case attrTupleProtocol:
			protocol, sourcePort, destinationPort = decodePorts(value)
		}
	}
	tuple.Source = netip.AddrPortFrom(source, sourcePort)
	tuple.Destination = netip.AddrPortFrom(destination, destinationPort)
	known := protocol == accounting.TCP || protocol == accounting.UDP
	return protocol, tuple, known && tuple.Source.IsValid() && tuple.Destination.IsValid()
}

func decodeAddresses(list []byte) (source, destination netip.Addr) {
	for typ, value, rest, more := nextAttribute(list); more; typ, value, rest, more = nextAttribute(rest) {
		switch typ {
		case attrIPv4Source, attrIPv6Source:
			source, _ = netip.AddrFromSlice(value)
		case attrIPv4Destination, attrIPv6Destination:
			destination, _ = netip.AddrFromSlice(value)
		}
	}
	return source, destination
}

func decodePorts(list []byte) (protocol accounting.Protocol, source, destination uint16) {
	for typ, value, rest, more := nextAttribute(list); more; typ, value, rest, more = nextAttribute(rest) {
		switch {
		case typ == attrProtocolNumber && len(value) == 1:
			protocol = accounting.Protocol(value[0])
		case typ == attrSourcePort && len(value) == 2:
			source = binary.BigEndian.Uint16(value)
		case typ == attrDestinationPort && len(value) == 2:
			destination = binary.BigEndian.Uint16(value)
		}
	}
	return protocol, source, destination
}

// nextAttribute splits the first struct nlattr (include/uapi/linux/netlink.h) off a
// list. A truncated one ends it.
func nextAttribute(list []byte) (typ uint16, value, rest []byte, more bool) {
	if len(list) < unix.SizeofNlAttr {
		return 0, nil, nil, false
	}
	length := int(binary.NativeEndian.Uint16(list))
	if length < unix.SizeofNlAttr || length > len(list) {
		return 0, nil, nil, false
	}
	typ = binary.NativeEndian.Uint16(list[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return typ, list[unix.SizeofNlAttr:length], list[min(align(length), len(list)):], true
}

// align is NLMSG_ALIGN and NLA_ALIGN of include/uapi/linux/netlink.h.
func align(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }
