package netlink

import (
	"encoding/binary"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"
)

// ownHeaderLength is that of the shortest header that a protocol has of its own:
// struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
const ownHeaderLength = 4

// Message is one whole message: struct nlmsghdr, and what follows.
type Message []byte

// Next splits the first message off a datagram. A message of a protocol has room for
// the shortest header that one has of its own.
func Next(datagram []byte) (m Message, rest []byte, err error) {
	if len(datagram) < unix.SizeofNlMsghdr {
		return nil, nil, fmt.Errorf("%w: %d bytes left of a datagram", ErrMalformed, len(datagram))
	}
	length := int(binary.NativeEndian.Uint32(datagram))
	if length < unix.SizeofNlMsghdr || length > len(datagram) {
		return nil, nil, fmt.Errorf("%w: a message of %d bytes in a datagram of %d", ErrMalformed, length, len(datagram))
	}
	m = datagram[:length]
	if m.Type() >= unix.NLMSG_MIN_TYPE && len(m.Body()) < ownHeaderLength {
		return nil, nil, fmt.Errorf("%w: no room for a protocol's header in %d bytes", ErrMalformed, length)
	}
	return m, datagram[min(Align(length), len(datagram)):], nil
}

// Type returns the type of the message, nlmsg_type.
func (m Message) Type() uint16 { return binary.NativeEndian.Uint16(m[4:]) }

// Sequence returns the number of the request that the message answers.
func (m Message) Sequence() uint32 { return binary.NativeEndian.Uint32(m[8:]) }

// Body returns what follows struct nlmsghdr.
func (m Message) Body() []byte { return m[unix.SizeofNlMsghdr:] }

// Errno returns what NLMSG_DONE and NLMSG_ERROR begin with: a negative error
// number, or 0 for success.
func (m Message) Errno() unix.Errno {
	if len(m.Body()) < 4 {
		return 0
	}
	if code := int32(binary.NativeEndian.Uint32(m.Body())); code < 0 {
		return unix.Errno(-code)
	}
	return 0
}

func (m Message) isInterrupted() bool {
	return binary.NativeEndian.Uint16(m[6:])&unix.NLM_F_DUMP_INTR != 0
}

// Attributes yields the types and values of struct nlattr (include/uapi/linux/netlink.h)
// in a list. A truncated one ends it.
func Attributes(list []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for attrType, value, rest, more := NextAttribute(list); more && yield(attrType, value); attrType, value, rest, more = NextAttribute(rest) {
		}
	}
}

// NextAttribute splits the first attribute off a list. What decodes thousands of
// messages uses it rather than Attributes, since its results stay in registers.
func NextAttribute(list []byte) (attrType uint16, value, rest []byte, more bool) {
	if len(list) < unix.SizeofNlAttr {
		return 0, nil, nil, false
	}
	length := int(binary.NativeEndian.Uint16(list))
	if length < unix.SizeofNlAttr || length > len(list) {
		return 0, nil, nil, false
	}
	attrType = binary.NativeEndian.Uint16(list[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return attrType, list[unix.SizeofNlAttr:length], list[min(Align(length), len(list)):], true
}

// Align is NLMSG_ALIGN and NLA_ALIGN of include/uapi/linux/netlink.h:
//
//	#define NLA_ALIGNTO     4
//	#define NLA_ALIGN(len)  (((len) + NLA_ALIGNTO - 1) & ~(NLA_ALIGNTO - 1))
func Align(length int) int { return (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }
