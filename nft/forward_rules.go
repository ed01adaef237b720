package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// countTarget counts by the address and port of a container, which the forward
// hook sees in both directions: the destination is translated before it, the
// source of an answer after it. For IPv4 and what clients send that is
//
//	[ meta load nfproto => reg 1 ]
//	[ cmp eq reg 1 0x00000002 ]
//	[ payload load 4b @ network header + 16 => reg 1 ]
//	[ meta load l4proto => reg 9 ]
//	[ payload load 2b @ transport header + 2 => reg 10 ]
//	[ objref sreg 1 set forward-ip-in ]
func countTarget(m tableSet) statement {
	network, offset, registers := "ip", uint32(12), [...]uint32{unix.NFT_REG32_01, unix.NFT_REG32_02}
	if m.family == ipv6 {
		network, offset, registers = "ip6", 8, [...]uint32{unix.NFT_REG_2, unix.NFT_REG32_05}
	}
	address, port := "saddr", "sport"
	if m.direction == accounting.In {
		address, port = "daddr", "dport"
		offset += uint32(m.family.length) // behind the source address
	}
	text := fmt.Sprintf("counter name %s %s . meta l4proto . th %s map @%s", network, address, port, m.name)
	return statement{text, func(e *encoder) {
		e.meta(unix.NFT_META_NFPROTO, unix.NFT_REG_1)
		e.equal([]byte{m.family.protocol})
		e.payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, uint32(m.family.length), unix.NFT_REG_1)
		e.meta(unix.NFT_META_L4PROTO, registers[0])
		e.port(m.direction, registers[1])
		e.countBy(m)
	}}
}

// redirectedRules count by what the client has sent to, of connections that were
// begun by sending to an address of this host: for each protocol
//
//	[ meta load l4proto => reg 1 ]
//	[ cmp eq reg 1 0x00000006 ]
//	[ ct load direction => reg 1 ]
//	[ cmp eq reg 1 0x00000000 ]
//	[ ct load dst_ip => reg 1 , dir original ]
//	[ lookup reg 1 set host-ip ]
//	[ meta load l4proto => reg 1 ]
//	[ ct load proto_dst => reg 9 , dir original ]
//	[ objref sreg 1 set ports-in ]
//
// nft loads the port of a connection only behind a match of its protocol.
func redirectedRules(m tableSet) (rules []rule) {
	for _, protocol := range [...]accounting.Protocol{accounting.TCP, accounting.UDP} {
		rules = append(rules, rule{sentToHost(protocol, m), countOriginalPort(m.direction), acceptPacket})
	}
	return rules
}

// sentToHost matches the packets of a direction of connections by the protocol
// that were begun by sending to an address of this host.
func sentToHost(protocol accounting.Protocol, m tableSet) statement {
	direction, network, key := "original", "ip", uint32(unix.NFT_CT_DST_IP)
	if m.direction == accounting.Out {
		direction = "reply"
	}
	if m.family == ipv6 {
		network, key = "ip6", unix.NFT_CT_DST_IP6
	}
	set := hostSet(m.family).name
	text := fmt.Sprintf("meta l4proto %s ct direction %s ct original %s daddr @%s", protocol, direction, network, set)
	return statement{text, func(e *encoder) {
		e.meta(unix.NFT_META_L4PROTO, unix.NFT_REG_1)
		e.equal([]byte{byte(protocol)})
		e.connection(unix.NFT_CT_DIRECTION, unix.NFT_REG_1, false)
		e.equal([]byte{byte(m.direction)}) // IP_CT_DIR_ORIGINAL is 0, as In, and IP_CT_DIR_REPLY 1
		e.connection(key, unix.NFT_REG_1, true)
		e.expression("lookup", func() {
			e.str(unix.NFTA_LOOKUP_SET, set)
			e.be32(unix.NFTA_LOOKUP_SREG, unix.NFT_REG_1)
		})
	}}
}

// countOriginalPort counts by the port that the client sent to.
func countOriginalPort(direction accounting.Direction) statement {
	text := fmt.Sprintf("counter name meta l4proto . ct original proto-dst map @%s", portMap(direction).name)
	return statement{text, func(e *encoder) {
		e.meta(unix.NFT_META_L4PROTO, unix.NFT_REG_1)
		e.connection(unix.NFT_CT_PROTO_DST, unix.NFT_REG32_01, true)
		e.countBy(portMap(direction))
	}}
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
