package nft

import (
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Packets of a VRF pass each hook outside of input twice: with the enslaved
// device and with the VRF device, in the order of their path. The rules below
// count one of the passes.

// sentInVRF skips the pass of the VRF device at output. Its loss is what the
// host sends to itself inside the VRF, which has no other pass.
var sentInVRF = rule{viaVRF(accounting.Out), acceptPacket}

// localRules count the packets to a local address, or from one. Up to Linux 6.15
// `fib daddr type` does not look into a VRF, so that only the last rule matches:
// an address of the device itself, in the pass of either device. Later kernels
// look into the VRF in both passes, and the first rule skips the VRF device's.
// That fix is also in some kernels of older series.
func localRules(direction accounting.Direction) []rule {
	return []rule{
		{viaVRF(direction), localAddress(direction), acceptPacket},
		{localAddress(direction), countPort(direction), acceptPacket},
		{deviceAddress(direction), countPort(direction), acceptPacket},
	}
}

// viaVRF matches packets that come from a VRF device, or leave to one:
//
//	[ meta load iifkind => reg 1 ]
//	[ cmp eq reg 1 0x00667276 0x00000000 0x00000000 0x00000000 ]
func viaVRF(direction accounting.Direction) statement {
	text, key := `meta iifkind "vrf"`, uint32(metaInputKind)
	if direction == accounting.Out {
		text, key = `meta oifkind "vrf"`, metaOutputKind
	}
	return statement{text, func(e *encoder) {
		kind := [unix.IFNAMSIZ]byte{'v', 'r', 'f'}
		e.meta(key, unix.NFT_REG_1)
		e.equal(kind[:])
	}}
}

// deviceAddress matches packets to an address of the device that they come from,
// or from an address of the one they leave to:
//
//	[ fib daddr . iif type => reg 1 ]
//	[ cmp eq reg 1 0x00000002 ]
func deviceAddress(direction accounting.Direction) statement {
	if direction == accounting.Out {
		return addressType("fib saddr . oif type local", unix.NFTA_FIB_F_SADDR|unix.NFTA_FIB_F_OIF)
	}
	return addressType("fib daddr . iif type local", unix.NFTA_FIB_F_DADDR|unix.NFTA_FIB_F_IIF)
}
