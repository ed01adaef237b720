package conntrack

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
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

// headerLength is that of struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
const headerLength = 4

// request returns the request to dump the entries that have all bits of status. A
// kernel before Linux 5.8 does not know the filter and dumps every entry.
func request(status uint32) []byte {
	b := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}
	if status != 0 {
		b = binary.NativeEndian.AppendUint16(b, unix.SizeofNlAttr+4)
		b = binary.NativeEndian.AppendUint16(b, attrStatus)
		b = binary.BigEndian.AppendUint32(b, status)
	}
	return b
}

// decodeFlow decodes a message. ok is false unless it is an entry of TCP or UDP with
// all its addresses and ports.
func decodeFlow(messageType uint16, message []byte) (flow Flow, ok bool) {
	if messageType != msgNew || len(message) < headerLength {
		return Flow{}, false
	}
	var original, reply bool
	for typ, value, rest, more := netlink.NextAttribute(message[headerLength:]); more; typ, value, rest, more = netlink.NextAttribute(rest) {
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
	for typ, value, rest, more := netlink.NextAttribute(list); more; typ, value, rest, more = netlink.NextAttribute(rest) {
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
	for typ, value, rest, more := netlink.NextAttribute(list); more; typ, value, rest, more = netlink.NextAttribute(rest) {
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
	for typ, value, rest, more := netlink.NextAttribute(list); more; typ, value, rest, more = netlink.NextAttribute(rest) {
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
