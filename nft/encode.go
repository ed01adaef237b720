package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/netlink"
)

// encoder appends netlink messages and their attributes to a buffer. Lengths
// are filled in when a message or a nest ends, sequence numbers by [netlink.Conn.Send].
type encoder struct {
	buffer  []byte
	message int // where the current message begins
	count   int // of messages
}

// begin starts a message: struct nlmsghdr (include/uapi/linux/netlink.h) and
// struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
func (e *encoder) begin(typ, flags uint16, family uint8, resource uint16) {
	e.message = len(e.buffer)
	e.count++
	b := binary.NativeEndian.AppendUint32(e.buffer, 0) // nlmsg_len
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, 0) // nlmsg_seq
	b = binary.NativeEndian.AppendUint32(b, 0) // nlmsg_pid: the kernel fills it in
	b = append(b, family, unix.NFNETLINK_V0)
	e.buffer = binary.BigEndian.AppendUint16(b, resource)
}

func (e *encoder) end() {
	binary.NativeEndian.PutUint32(e.buffer[e.message:], uint32(len(e.buffer)-e.message))
}

// nest starts an attribute that holds others and returns its place for endNest.
func (e *encoder) nest(attrType uint16) int {
	at := len(e.buffer)
	e.attrHeader(attrType|unix.NLA_F_NESTED, 0)
	return at
}

func (e *encoder) endNest(at int) {
	binary.NativeEndian.PutUint16(e.buffer[at:], uint16(len(e.buffer)-at))
}

func (e *encoder) attrHeader(attrType uint16, length int) {
	e.buffer = binary.NativeEndian.AppendUint16(e.buffer, uint16(unix.SizeofNlAttr+length))
	e.buffer = binary.NativeEndian.AppendUint16(e.buffer, attrType)
}

func (e *encoder) bytes(attrType uint16, value []byte) {
	e.attrHeader(attrType, len(value))
	e.buffer = append(e.buffer, value...)
	e.pad()
}

// str appends a string with the zero that the kernel expects at its end.
func (e *encoder) str(attrType uint16, value string) {
	e.attrHeader(attrType, len(value)+1)
	e.buffer = append(e.buffer, value...)
	e.buffer = append(e.buffer, 0)
	e.pad()
}

// be32 appends a number in network byte order, which nf_tables uses throughout.
func (e *encoder) be32(attrType uint16, value uint32) {
	e.attrHeader(attrType, 4)
	e.buffer = binary.BigEndian.AppendUint32(e.buffer, value)
}

func (e *encoder) pad() {
	for len(e.buffer) != netlink.Align(len(e.buffer)) {
		e.buffer = append(e.buffer, 0)
	}
}

// request encodes one message that asks for something and changes nothing.
func request(typ, flags uint16, attributes func(*encoder)) []byte {
	e := &encoder{}
	e.begin(typ, flags, familyInet, 0)
	attributes(e)
	e.end()
	return e.buffer
}
