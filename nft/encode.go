package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// encoder appends netlink messages and their attributes to a buffer. Lengths
// are filled in when a message or nest ends. Its messages are numbered from 1
// in the order in which they begin.
type encoder struct {
	buffer  []byte
	message int // where the current message begins
	count   uint32
}

// begin starts a message: struct nlmsghdr (include/uapi/linux/netlink.h) and
// struct nfgenmsg (include/uapi/linux/netfilter/nfnetlink.h).
func (e *encoder) begin(messageType, flags uint16, family uint8, resource uint16) {
	e.message = len(e.buffer)
	e.count++
	b := binary.NativeEndian.AppendUint32(e.buffer, 0) // nlmsg_len
	b = binary.NativeEndian.AppendUint16(b, messageType)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, e.count) // nlmsg_seq
	b = binary.NativeEndian.AppendUint32(b, 0)       // nlmsg_pid: the kernel's to fill
	b = append(b, family, unix.NFNETLINK_V0)
	e.buffer = binary.BigEndian.AppendUint16(b, resource)
}

func (e *encoder) end() {
	binary.NativeEndian.PutUint32(e.buffer[e.message:], uint32(len(e.buffer)-e.message))
}

// nest starts an attribute that holds others and returns its place for endNest.
func (e *encoder) nest(attribute uint16) int {
	at := len(e.buffer)
	e.attributeHeader(attribute|unix.NLA_F_NESTED, 0)
	return at
}

func (e *encoder) endNest(at int) {
	binary.NativeEndian.PutUint16(e.buffer[at:], uint16(len(e.buffer)-at))
}

func (e *encoder) attributeHeader(attribute uint16, length int) {
	e.buffer = binary.NativeEndian.AppendUint16(e.buffer, uint16(attributeSpace+length))
	e.buffer = binary.NativeEndian.AppendUint16(e.buffer, attribute)
}

func (e *encoder) bytes(attribute uint16, value []byte) {
	e.attributeHeader(attribute, len(value))
	e.buffer = append(e.buffer, value...)
	e.pad()
}

// text appends a string with the zero that the kernel expects at its end.
func (e *encoder) text(attribute uint16, value string) {
	e.attributeHeader(attribute, len(value)+1)
	e.buffer = append(e.buffer, value...)
	e.buffer = append(e.buffer, 0)
	e.pad()
}

func (e *encoder) uint32(attribute uint16, value uint32) {
	e.attributeHeader(attribute, 4)
	e.buffer = binary.BigEndian.AppendUint32(e.buffer, value)
}

// pad fills up to the next multiple of NLA_ALIGNTO, four.
func (e *encoder) pad() {
	for len(e.buffer)%unix.NLA_ALIGNTO != 0 {
		e.buffer = append(e.buffer, 0)
	}
}

// batch is a series of changes that the kernel applies all or none.
type batch struct{ encoder }

func newBatch() *batch {
	b := &batch{}
	b.begin(batchBegin, 0, familyAny, unix.NFNL_SUBSYS_NFTABLES)
	b.end()
	return b
}

// finish ends the batch and returns the datagram to send.
func (b *batch) finish() []byte {
	b.begin(batchEnd, 0, familyAny, unix.NFNL_SUBSYS_NFTABLES)
	b.end()
	return b.buffer
}

func (b *batch) change(messageType, flags uint16) {
	b.begin(messageType, flags, familyInet, 0)
}

func nativeEndian(value uint32) []byte { return binary.NativeEndian.AppendUint32(nil, value) }
