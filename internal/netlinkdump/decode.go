package netlinkdump

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// appendRequest appends struct nlmsghdr of a request for a list, and the rest of it.
func appendRequest(b []byte, messageType uint16, sequence uint32, rest []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(rest)))
	b = binary.NativeEndian.AppendUint16(b, messageType)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // nlmsg_pid: the kernel fills it in
	return append(b, rest...)
}

// visitDatagram passes the messages in a datagram of the dump with the sequence number
// to visit. done reports the dump's end. Messages of other dumps are ignored.
func visitDatagram(datagram []byte, sequence uint32, visit func(messageType uint16, payload []byte)) (done bool, err error) {
	for len(datagram) > 0 {
		if len(datagram) < unix.SizeofNlMsghdr {
			return false, fmt.Errorf("%w: %d bytes left of a datagram", ErrMalformed, len(datagram))
		}
		length := int(binary.NativeEndian.Uint32(datagram))
		if length < unix.SizeofNlMsghdr || length > len(datagram) {
			return false, fmt.Errorf("%w: a message of %d bytes in a datagram of %d", ErrMalformed, length, len(datagram))
		}
		messageType, flags := binary.NativeEndian.Uint16(datagram[4:]), binary.NativeEndian.Uint16(datagram[6:])
		ours := binary.NativeEndian.Uint32(datagram[8:]) == sequence
		payload := datagram[unix.SizeofNlMsghdr:length]
		datagram = datagram[min(align(length), len(datagram)):]
		switch {
		case !ours:
		case flags&unix.NLM_F_DUMP_INTR != 0:
			return false, ErrInterrupted
		case messageType == unix.NLMSG_DONE, messageType == unix.NLMSG_ERROR:
			return true, errno(payload)
		default:
			visit(messageType, payload)
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

// NextAttribute splits the first struct nlattr (include/uapi/linux/netlink.h) off a
// list. A truncated one ends it.
func NextAttribute(list []byte) (attrType uint16, value, rest []byte, more bool) {
	if len(list) < unix.SizeofNlAttr {
		return 0, nil, nil, false
	}
	length := int(binary.NativeEndian.Uint16(list))
	if length < unix.SizeofNlAttr || length > len(list) {
		return 0, nil, nil, false
	}
	attrType = binary.NativeEndian.Uint16(list[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return attrType, list[unix.SizeofNlAttr:length], list[min(align(length), len(list)):], true
}

// align is NLMSG_ALIGN and NLA_ALIGN of include/uapi/linux/netlink.h.
func align(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }
