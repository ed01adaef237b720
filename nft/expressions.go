package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

// rule is a rule of ours: its statements in order. A rule that counts ends in
// acceptPacket. The verdict ends this base chain only. It makes copies of the rule
// harmless, such as those that loading a saved ruleset appends: a packet that was
// counted never reaches them.
type rule []statement

// statement is a part of a rule, as nft lists it and as the kernel executes it.
type statement struct {
	text   string
	encode func(e *encoder)
}

// expressions encodes the rule as nft does.
func (r rule) expressions() []byte {
	e := &encoder{}
	for _, s := range r {
		s.encode(e)
	}
	return e.buffer
}

// String returns the rule as nft lists it.
func (r rule) String() string {
	texts := make([]string, len(r))
	for i, s := range r {
		texts[i] = s.text
	}
	return strings.Join(texts, " ")
}

// acceptPacket is
//
//	[ immediate reg 0 accept ]
var acceptPacket = statement{"accept", func(e *encoder) {
	e.expression("immediate", func() {
		e.be32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		nest := e.nest(unix.NFTA_IMMEDIATE_DATA)
		// Without the nested flag, as the kernel dumps it.
		e.attrHeader(unix.NFTA_DATA_VERDICT, unix.SizeofNlAttr+4)
		e.be32(unix.NFTA_VERDICT_CODE, verdictAccept)
		e.endNest(nest)
	})
}}

// countPort counts by the port of this host:
//
//	[ meta load l4proto => reg 1 ]
//	[ payload load 2b @ transport header + 2 => reg 9 ]
//	[ objref sreg 1 set ports-in ]
func countPort(direction accounting.Direction) statement {
	port := "dport"
	if direction == accounting.Out {
		port = "sport"
	}
	text := fmt.Sprintf("counter name meta l4proto . th %s map @%s", port, portMap(direction).name)
	return statement{text, func(e *encoder) {
		e.meta(unix.NFT_META_L4PROTO, unix.NFT_REG_1)
		e.port(direction, unix.NFT_REG32_01)
		e.countBy(portMap(direction))
	}}
}

// countBy adds the packet to the counter to which the map leads the key in register 1.
func (e *encoder) countBy(m tableSet) {
	e.expression("objref", func() {
		e.be32(unix.NFTA_OBJREF_SET_SREG, unix.NFT_REG_1)
		e.str(unix.NFTA_OBJREF_SET_NAME, m.name)
	})
}

// localAddress matches packets to an address of this host, or from one:
//
//	[ fib daddr type => reg 1 ]
//	[ cmp eq reg 1 0x00000002 ]
func localAddress(direction accounting.Direction) statement {
	if direction == accounting.Out {
		return addressType("fib saddr type local", unix.NFTA_FIB_F_SADDR)
	}
	return addressType("fib daddr type local", unix.NFTA_FIB_F_DADDR)
}

// addressType matches packets whose address, which flags select, is local.
func addressType(text string, flags uint32) statement {
	return statement{text, func(e *encoder) {
		e.expression("fib", func() {
			e.be32(unix.NFTA_FIB_DREG, unix.NFT_REG_1)
			e.be32(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
			e.be32(unix.NFTA_FIB_FLAGS, flags)
		})
		e.equal(binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL))
	}}
}

func (e *encoder) meta(key, register uint32) {
	e.expression("meta", func() {
		e.be32(unix.NFTA_META_DREG, register)
		e.be32(unix.NFTA_META_KEY, key)
	})
}

// port loads the port of this host from a packet of the direction.
func (e *encoder) port(direction accounting.Direction, register uint32) {
	offset := uint32(2) // of the destination port in the header of TCP and UDP
	if direction == accounting.Out {
		offset = 0
	}
	e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2, register)
}

func (e *encoder) payload(base, offset, length, register uint32) {
	e.expression("payload", func() {
		e.be32(unix.NFTA_PAYLOAD_DREG, register)
		e.be32(unix.NFTA_PAYLOAD_BASE, base)
		e.be32(unix.NFTA_PAYLOAD_OFFSET, offset)
		e.be32(unix.NFTA_PAYLOAD_LEN, length)
	})
}

// equal matches if register 1 has a value.
func (e *encoder) equal(value []byte) {
	e.expression("cmp", func() {
		e.be32(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
		e.be32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
		nest := e.nest(unix.NFTA_CMP_DATA)
		e.bytes(unix.NFTA_DATA_VALUE, value)
		e.endNest(nest)
	})
}

func (e *encoder) expression(name string, attributes func()) {
	element := e.nest(unix.NFTA_LIST_ELEM)
	e.str(unix.NFTA_EXPR_NAME, name)
	data := e.nest(unix.NFTA_EXPR_DATA)
	attributes()
	e.endNest(data)
	e.endNest(element)
}

// sameExpressions reports whether have and want list the same expressions in the
// same order with the same attributes. Kernels may add attributes of their own,
// so have may contain more of them.
func sameExpressions(have, want []byte) bool {
	for {
		_, found, otherFound, some := netlink.NextAttribute(have)
		_, wanted, otherWanted, more := netlink.NextAttribute(want)
		switch {
		case !some || !more:
			return some == more
		case !sameExpression(found, wanted):
			return false
		}
		have, want = otherFound, otherWanted
	}
}

// sameExpression compares two entries of NFTA_RULE_EXPRESSIONS.
func sameExpression(have, want []byte) bool {
	if !bytes.Equal(trimZero(find(have, unix.NFTA_EXPR_NAME)), trimZero(find(want, unix.NFTA_EXPR_NAME))) {
		return false
	}
	haveData := find(have, unix.NFTA_EXPR_DATA)
	for typ, value := range netlink.Attributes(find(want, unix.NFTA_EXPR_DATA)) {
		if !bytes.Equal(find(haveData, typ), value) {
			return false
		}
	}
	return true
}
