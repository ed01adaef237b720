package survey

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"ssmonitor/accounting"
)

// match applies an iptables match extension that nf_tables has no expression for.
func (r *ruleReader) match(e *expr.Match) {
	switch info := e.Info.(type) {
	case *xt.Tcp:
		r.protocols &= accounting.OnlyTCP
		r.matchPorts(fieldSourcePort, info.SrcPorts, info.InvFlags&xt.TcpInvSrcPorts != 0)
		r.matchPorts(fieldDestinationPort, info.DstPorts, info.InvFlags&xt.TcpInvDestPorts != 0)
	case *xt.Udp:
		r.protocols &= accounting.OnlyUDP
		r.matchPorts(fieldSourcePort, info.SrcPorts, info.InvFlags&xt.UdpInvSrcPorts != 0)
		r.matchPorts(fieldDestinationPort, info.DstPorts, info.InvFlags&xt.UdpInvDestPorts != 0)
	case *xt.Unknown:
		if e.Name == "multiport" && e.Rev == 1 {
			r.matchMultiport(*info)
		}
	}
}

// matchPorts applies a range of the tcp or udp extension. A range of all ports
// stands for no condition.
func (r *ruleReader) matchPorts(f field, ports [2]uint16, inverted bool) {
	if !inverted && ports != [2]uint16{0, 1<<16 - 1} {
		r.restrict(f, []PortRange{{ports[0], ports[1]}})
	}
}

// matchMultiport decodes struct xt_multiport_v1 of
// include/uapi/linux/netfilter/xt_multiport.h.
func (r *ruleReader) matchMultiport(info []byte) {
	const (
		maxPorts  = 15 // XT_MULTI_PORTS
		portsAt   = 2  // after flags and count
		rangesAt  = portsAt + 2*maxPorts
		invertAt  = rangesAt + maxPorts
		sources   = 0 // XT_MULTIPORT_SOURCE
		targets   = 1 // XT_MULTIPORT_DESTINATION
		inversion = 1
	)
	if len(info) <= invertAt || info[invertAt] == inversion || info[1] > maxPorts {
		return
	}
	ports := []PortRange{}
	for i := 0; i < int(info[1]); i++ {
		port := binary.NativeEndian.Uint16(info[portsAt+2*i:])
		if i > 0 && info[rangesAt+i-1] != 0 {
			ports[len(ports)-1].Last = port
		} else {
			ports = append(ports, PortRange{port, port})
		}
	}
	switch info[0] {
	case sources:
		r.restrict(fieldSourcePort, ports)
	case targets:
		r.restrict(fieldDestinationPort, ports)
	}
}
