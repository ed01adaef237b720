package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// message is one whole netlink message: struct nlmsghdr, struct nfgenmsg where
// its type has one, and the payload. nextMessage checks that all of it is there.
type message []byte

func (m message) typ() uint16      { return binary.NativeEndian.Uint16(m[4:]) }
func (m message) sequence() uint32 { return binary.NativeEndian.Uint32(m[8:]) }

// generation returns the low 16 bits of the ruleset's generation at which the
// kernel wrote the message (nfgenmsg.res_id).
func (m message) generation() uint16 {
	if len(m) < headerLength {
		return 0
	}
	return binary.BigEndian.Uint16(m[headerLength-2:])
}

// payload returns the attributes, or everything after the header for NLMSG_ERROR
// and NLMSG_DONE.
func (m message) payload() []byte {
	if m.typ() < unix.NLMSG_MIN_TYPE {
		return m[unix.SizeofNlMsghdr:]
	}
	return m[headerLength:]
}

// nextMessage splits the first message off a datagram.
func nextMessage(datagram []byte) (m message, rest []byte, err error) {
	if len(datagram) < unix.SizeofNlMsghdr {
		return nil, nil, fmt.Errorf("%w: %d bytes left of a datagram", errMalformed, len(datagram))
	}
	length := int(binary.NativeEndian.Uint32(datagram))
	if length < unix.SizeofNlMsghdr || length > len(datagram) {
		return nil, nil, fmt.Errorf("%w: a message of %d bytes in a datagram of %d", errMalformed, length, len(datagram))
	}
	m = datagram[:length]
	if m.typ() >= unix.NLMSG_MIN_TYPE && length < headerLength {
		return nil, nil, fmt.Errorf("%w: no room for nfgenmsg in %d bytes", errMalformed, length)
	}
	return m, datagram[min(nlaAlign(length), len(datagram)):], nil
}

// errno returns what NLMSG_ERROR and NLMSG_DONE begin with: a negative error
// number, or 0 for success.
func (m message) errno() unix.Errno {
	if len(m.payload()) < 4 {
		return 0
	}
	if code := int32(binary.NativeEndian.Uint32(m.payload())); code < 0 {
		return unix.Errno(-code)
	}
	return 0
}

// attributes walks over struct nlattr (include/uapi/linux/netlink.h).
type attributes struct {
	rest  []byte
	typ   uint16
	value []byte
}

// next moves to the next attribute; a truncated one ends the walk.
func (a *attributes) next() (more bool) {
	a.typ, a.value, a.rest, more = nextAttribute(a.rest)
	return more
}

// nextAttribute splits the first attribute off a list. Counters are decoded with
// it rather than with attributes, because its results stay in registers.
func nextAttribute(list []byte) (typ uint16, value, rest []byte, more bool) {
	if len(list) < unix.SizeofNlAttr {
		return 0, nil, nil, false
	}
	length := int(binary.NativeEndian.Uint16(list))
	if length < unix.SizeofNlAttr || length > len(list) {
		return 0, nil, nil, false
	}
	typ = binary.NativeEndian.Uint16(list[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return typ, list[unix.SizeofNlAttr:length], list[min(nlaAlign(length), len(list)):], true
}

// find returns the value of the first attribute of a type, or nil if there is
// none.
func find(payload []byte, typ uint16) []byte {
	a := attributes{rest: payload}
	for a.next() {
		if a.typ == typ {
			return a.value
		}
	}
	return nil
}

// findUserdata returns the value of the first entry of a type in user data:
// type, length and value, one byte each for the first two. Any process may have
// written it; google/nftables' own reader panics if it is truncated.
func findUserdata(data []byte, typ byte) []byte {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		value, rest := data[2:2+int(data[1])], data[2+int(data[1]):]
		if data[0] == typ {
			return value
		}
		data = rest
	}
	return nil
}

func str(value []byte) string { return string(trimZero(value)) }

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

// decodeCounter decodes a named counter from the attributes of NFT_MSG_NEWOBJ.
// It does not allocate. ok is false if the object is not one of our counters.
func decodeCounter(payload []byte) (reading accounting.Reading, ok bool) {
	complete := 0
	reading.Loaded = true // unless our mark shows that ssmonitor created it
	for typ, value, rest, more := nextAttribute(payload); more; typ, value, rest, more = nextAttribute(rest) {
		switch typ {
		case unix.NFTA_OBJ_NAME:
			if reading.Key, ok = parseCounterName(trimZero(value)); !ok {
				return reading, false
			}
			complete |= 1
		case unix.NFTA_OBJ_TYPE:
			if uint32Value(value) != unix.NFT_OBJECT_COUNTER {
				return reading, false
			}
		case unix.NFTA_OBJ_DATA:
			if reading.Count, ok = decodeCount(value); !ok {
				return reading, false
			}
			complete |= 2
		case attrObjHandle:
			reading.Handle = uint64Value(value)
			complete |= 4
		case attrObjUserdata:
			reading.Loaded = findUserdata(value, udataCreated) == nil
		}
	}
	return reading, complete == 7
}

// decodeCount reads NFTA_COUNTER_BYTES and NFTA_COUNTER_PACKETS (__u64, be).
func decodeCount(payload []byte) (count accounting.Count, ok bool) {
	complete := 0
	for typ, value, rest, more := nextAttribute(payload); more; typ, value, rest, more = nextAttribute(rest) {
		if len(value) != 8 {
			continue
		}
		switch typ {
		case unix.NFTA_COUNTER_BYTES:
			count.Bytes = uint64Value(value)
			complete |= 1
		case unix.NFTA_COUNTER_PACKETS:
			count.Packets = uint64Value(value)
			complete |= 2
		}
	}
	return count, complete == 3
}
