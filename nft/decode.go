package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

// payload returns the attributes of a message of nf_tables: what follows struct
// nfgenmsg.
func payload(m netlink.Message) []byte {
	body := m.Body()
	return body[min(headerLength, len(body)):]
}

// generationOf returns the low 16 bits of the ruleset's generation at which the
// kernel wrote the message (nfgenmsg.res_id).
func generationOf(m netlink.Message) uint16 {
	if len(m.Body()) < headerLength {
		return 0
	}
	return binary.BigEndian.Uint16(m.Body()[2:])
}

// find returns the value of the first attribute of a type, or nil if there is
// none.
func find(list []byte, wanted uint16) []byte {
	for typ, value := range netlink.Attributes(list) {
		if typ == wanted {
			return value
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
	reading.Loaded = true // unless the flag shows that ssmonitor created it
	for typ, value, rest, more := netlink.NextAttribute(payload); more; typ, value, rest, more = netlink.NextAttribute(rest) {
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
			reading.Loaded = findUserdata(value, createdFlag) == nil
		}
	}
	return reading, complete == 7
}

// decodeCount reads NFTA_COUNTER_BYTES and NFTA_COUNTER_PACKETS (__u64, be).
func decodeCount(payload []byte) (count accounting.Count, ok bool) {
	complete := 0
	for typ, value, rest, more := netlink.NextAttribute(payload); more; typ, value, rest, more = netlink.NextAttribute(rest) {
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
