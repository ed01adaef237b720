package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// message is one netlink message with struct nfgenmsg taken apart.
type message struct {
	kind       uint16
	flags      uint16
	sequence   uint32
	generation uint16 // nfgenmsg.res_id: the low 16 bits of the ruleset's generation
	payload    []byte // the attributes; of NLMSG_ERROR and NLMSG_DONE all after the header
}

// nextMessage splits the first message off a datagram.
func nextMessage(datagram []byte) (m message, rest []byte, err error) {
	if len(datagram) < unix.SizeofNlMsghdr {
		return message{}, nil, fmt.Errorf("%w: %d bytes left of a datagram", ErrMalformed, len(datagram))
	}
	length := int(binary.NativeEndian.Uint32(datagram))
	if length < unix.SizeofNlMsghdr || length > len(datagram) {
		return message{}, nil, fmt.Errorf("%w: a message of %d bytes in a datagram of %d", ErrMalformed, length, len(datagram))
	}
	m.kind = binary.NativeEndian.Uint16(datagram[4:])
	m.flags = binary.NativeEndian.Uint16(datagram[6:])
	m.sequence = binary.NativeEndian.Uint32(datagram[8:])
	m.payload = datagram[unix.SizeofNlMsghdr:length]
	if m.kind >= unix.NLMSG_MIN_TYPE {
		if length < headerLength {
			return message{}, nil, fmt.Errorf("%w: no room for nfgenmsg in %d bytes", ErrMalformed, length)
		}
		m.generation = binary.BigEndian.Uint16(m.payload[2:])
		m.payload = m.payload[headerLength-unix.SizeofNlMsghdr:]
	}
	next := (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
	return m, datagram[min(next, len(datagram)):], nil
}

// errorNumber returns what NLMSG_ERROR and NLMSG_DONE begin with: a negative
// error number, or 0 for success.
func (m message) errorNumber() unix.Errno {
	if len(m.payload) < 4 {
		return 0
	}
	if code := int32(binary.NativeEndian.Uint32(m.payload)); code < 0 {
		return unix.Errno(-code)
	}
	return 0
}

// attributes walks over struct nlattr (include/uapi/linux/netlink.h).
type attributes struct {
	rest  []byte
	kind  uint16
	value []byte
}

// next moves to the next attribute; what is cut short ends the walk.
func (a *attributes) next() bool {
	if len(a.rest) < attributeSpace {
		return false
	}
	length := int(binary.NativeEndian.Uint16(a.rest))
	if length < attributeSpace || length > len(a.rest) {
		return false
	}
	a.kind = binary.NativeEndian.Uint16(a.rest[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	a.value = a.rest[attributeSpace:length]
	next := (length + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
	a.rest = a.rest[min(next, len(a.rest)):]
	return true
}

// find returns the value of the first attribute of a kind, nil without one.
func find(payload []byte, kind uint16) []byte {
	a := attributes{rest: payload}
	for a.next() {
		if a.kind == kind {
			return a.value
		}
	}
	return nil
}

func textValue(value []byte) string { return string(trimZero(value)) }

func trimZero(value []byte) []byte {
	if n := len(value); n > 0 && value[n-1] == 0 {
		return value[:n-1]
	}
	return value
}

func uint32Value(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

func uint64Value(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// decodeCounter takes a named counter out of the attributes of NFT_MSG_NEWOBJ.
// It does not allocate. ok is false for an object that is none of our counters.
func decodeCounter(payload []byte) (reading accounting.Reading, ok bool) {
	complete := 0
	a := attributes{rest: payload}
	for a.next() {
		switch a.kind {
		case unix.NFTA_OBJ_NAME:
			if reading.Key, ok = parseCounterName(trimZero(a.value)); !ok {
				return reading, false
			}
			complete |= 1
		case unix.NFTA_OBJ_TYPE:
			if uint32Value(a.value) != unix.NFT_OBJECT_COUNTER {
				return reading, false
			}
		case unix.NFTA_OBJ_DATA:
			if reading.Count, ok = decodeCount(a.value); !ok {
				return reading, false
			}
			complete |= 2
		case objectAttributeHandle:
			reading.Handle = uint64Value(a.value)
			complete |= 4
		}
	}
	return reading, complete == 7
}

// decodeCount reads NFTA_COUNTER_BYTES and NFTA_COUNTER_PACKETS (__u64, be).
func decodeCount(payload []byte) (count accounting.Count, ok bool) {
	complete := 0
	a := attributes{rest: payload}
	for a.next() {
		if len(a.value) != 8 {
			continue
		}
		switch a.kind {
		case unix.NFTA_COUNTER_BYTES:
			count.Bytes = uint64Value(a.value)
			complete |= 1
		case unix.NFTA_COUNTER_PACKETS:
			count.Packets = uint64Value(a.value)
			complete |= 2
		}
	}
	return count, complete == 3
}
