package nft

import (
	"bytes"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// expressions encodes the chain's rule as nft does. For the host's input chain
// `nft --debug=netlink` lists it as
//
//	[ meta load l4proto => reg 1 ]
//	[ payload load 2b @ transport header + 2 => reg 9 ]
//	[ objref sreg 1 set ports-in ]
//	[ immediate reg 0 accept ]
//
// and the container's chains begin with
//
//	[ fib daddr type => reg 1 ]
//	[ cmp eq reg 1 0x00000002 ]
//
// The chain for what clients send to published ports by TCP has
//
//	[ meta load l4proto => reg 1 ]
//	[ cmp eq reg 1 0x00000006 ]
//	[ ct load status => reg 1 ]
//	[ bitwise reg 1 = ( reg 1 & 0x00000020 ) ^ 0x00000000 ]
//	[ cmp neq reg 1 0x00000000 ]
//	[ ct load direction => reg 1 ]
//	[ cmp eq reg 1 0x00000000 ]
//
// before that, and loads the port with
//
//	[ ct load proto_dst => reg 9 , dir original ]
//
// The verdict ends this base chain only. It makes copies of the rule harmless,
// such as those that loading a saved ruleset appends: a packet that was counted
// never reaches them.
func (c chain) expressions() []byte {
	e := &encoder{}
	if c.fib != 0 {
		e.expression("fib", func() {
			e.be32(unix.NFTA_FIB_DREG, unix.NFT_REG_1)
			e.be32(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
			e.be32(unix.NFTA_FIB_FLAGS, c.fib)
		})
		e.compare(unix.NFT_CMP_EQ, nativeEndian(routeLocal))
	}
	if c.forwarded != 0 {
		e.translated(c.forwarded, c.direction)
	}
	e.expression("meta", func() {
		e.be32(unix.NFTA_META_DREG, unix.NFT_REG_1)
		e.be32(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO)
	})
	if c.forwarded != 0 {
		e.connection(unix.NFT_CT_PROTO_DST, unix.NFT_REG32_01, true)
	} else {
		e.port(c.direction)
	}
	e.expression("objref", func() {
		e.be32(unix.NFTA_OBJREF_SET_SREG, unix.NFT_REG_1)
		e.str(unix.NFTA_OBJREF_SET_NAME, mapName(c.direction))
	})
	e.expression("immediate", func() {
		e.be32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		nest := e.nest(unix.NFTA_IMMEDIATE_DATA)
		// Without the nested flag, as the kernel dumps it.
		e.attrHeader(unix.NFTA_DATA_VERDICT, unix.SizeofNlAttr+4)
		e.be32(unix.NFTA_VERDICT_CODE, verdictAccept)
		e.endNest(nest)
	})
	return e.buffer
}

// port loads the port of this host from a packet of the direction.
func (e *encoder) port(direction accounting.Direction) {
	e.expression("payload", func() {
		offset := uint32(2) // of the destination port in the header of TCP and UDP
		if direction == accounting.Out {
			offset = 0
		}
		e.be32(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG32_01)
		e.be32(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER)
		e.be32(unix.NFTA_PAYLOAD_OFFSET, offset)
		e.be32(unix.NFTA_PAYLOAD_LEN, 2)
	})
}

// translated matches the packets of a direction of connections by the protocol
// whose destination was translated.
func (e *encoder) translated(protocol accounting.Protocol, direction accounting.Direction) {
	const destinationTranslated = 1 << 5 // IPS_DST_NAT of include/uapi/linux/netfilter/nf_conntrack_common.h
	e.expression("meta", func() {
		e.be32(unix.NFTA_META_DREG, unix.NFT_REG_1)
		e.be32(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO)
	})
	e.compare(unix.NFT_CMP_EQ, []byte{byte(protocol)})
	e.connection(unix.NFT_CT_STATUS, unix.NFT_REG_1, false)
	e.expression("bitwise", func() {
		e.be32(unix.NFTA_BITWISE_SREG, unix.NFT_REG_1)
		e.be32(unix.NFTA_BITWISE_DREG, unix.NFT_REG_1)
		e.be32(unix.NFTA_BITWISE_LEN, 4)
		mask := e.nest(unix.NFTA_BITWISE_MASK)
		e.bytes(unix.NFTA_DATA_VALUE, nativeEndian(destinationTranslated))
		e.endNest(mask)
		xor := e.nest(unix.NFTA_BITWISE_XOR)
		e.bytes(unix.NFTA_DATA_VALUE, nativeEndian(0))
		e.endNest(xor)
	})
	e.compare(unix.NFT_CMP_NEQ, nativeEndian(0))
	e.connection(unix.NFT_CT_DIRECTION, unix.NFT_REG_1, false)
	e.compare(unix.NFT_CMP_EQ, []byte{byte(direction)}) // IP_CT_DIR_ORIGINAL is 0, as In, and IP_CT_DIR_REPLY 1
}

// connection loads a property of the packet's connection, of its original
// direction if the property has one.
func (e *encoder) connection(key, register uint32, original bool) {
	e.expression("ct", func() {
		e.be32(unix.NFTA_CT_DREG, register)
		e.be32(unix.NFTA_CT_KEY, key)
		if original {
			e.bytes(unix.NFTA_CT_DIRECTION, []byte{0}) // IP_CT_DIR_ORIGINAL
		}
	})
}

// compare compares register 1 with a value.
func (e *encoder) compare(operation uint32, value []byte) {
	e.expression("cmp", func() {
		e.be32(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
		e.be32(unix.NFTA_CMP_OP, operation)
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
	haveList, wantList := attributes{rest: have}, attributes{rest: want}
	for wantList.next() {
		if !haveList.next() || !sameExpression(haveList.value, wantList.value) {
			return false
		}
	}
	return !haveList.next()
}

// sameExpression compares two entries of NFTA_RULE_EXPRESSIONS.
func sameExpression(have, want []byte) bool {
	if !bytes.Equal(trimZero(find(have, unix.NFTA_EXPR_NAME)), trimZero(find(want, unix.NFTA_EXPR_NAME))) {
		return false
	}
	haveData := find(have, unix.NFTA_EXPR_DATA)
	wantData := attributes{rest: find(want, unix.NFTA_EXPR_DATA)}
	for wantData.next() {
		if !bytes.Equal(find(haveData, wantData.typ), wantData.value) {
			return false
		}
	}
	return true
}
