package survey

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// extension divides a thread by a match extension of iptables.
func (t thread) extension(e *expr.Match) branches {
	switch info := e.Info.(type) {
	case *xt.Tcp:
		return t.matchTCP(info)
	case *xt.Udp:
		return t.matchPorts(accounting.UDP, info.SrcPorts, info.DstPorts, info.InvFlags&xt.UdpInvSrcPorts != 0, info.InvFlags&xt.UdpInvDestPorts != 0)
	case *xt.AddrTypeV1:
		return t.matchAddressType(info)
	case *xt.ConntrackMtinfo3:
		return t.matchConntrack(info)
	case *xt.Comment:
		return t.always(true)
	case *xt.Unknown:
		switch {
		case e.Name == "statistic":
			return t.either() // chance
		case e.Name == "multiport" && e.Rev == 1:
			return t.matchMultiport(*info)
		case e.Name == "iprange" && e.Rev == 1:
			return t.matchAddresses(*info)
		case e.Name == "mark" && e.Rev == 1:
			return t.matchMark(t.mark[:], *info)
		case e.Name == "connmark" && e.Rev == 1 && t.tracked:
			return t.matchMark(t.connMark[:], *info)
		}
	}
	if !slices.Contains(senderless, e.Name) {
		t.doubts |= unknownSender
	}
	return t.either()
}

// senderless are matches of iptables, and expressions of nf_tables, that don't ask
// where packets come from.
var senderless = []string{
	"bitwise", "connbytes", "connlimit", "connmark", "cpu", "dscp", "ecn", "exthdr", "hashlimit", "helper", "hl", "length", "limit", "mark",
	"multiport", "osf", "pkttype", "quota", "recent", "socket", "state", "string", "synproxy", "tcpmss", "time", "tos", "ttl",
}

func (t thread) matchTCP(info *xt.Tcp) branches {
	matched := t.matchPorts(accounting.TCP, info.SrcPorts, info.DstPorts, info.InvFlags&xt.TcpInvSrcPorts != 0, info.InvFlags&xt.TcpInvDestPorts != 0)
	if info.Option != 0 {
		matched = matched.and(thread.either)
	}
	if info.FlagsMask == 0 {
		return matched
	}
	return matched.and(func(t thread) branches {
		flags := []cell{t.transportHeader(13).through(info.FlagsMask, 0)}
		return t.within(flags, interval{[]byte{info.FlagsCmp}, []byte{info.FlagsCmp}}).invertedIf(info.InvFlags&xt.TcpInvFlags != 0)
	})
}

// matchPorts applies the port ranges of the tcp or udp extension.
func (t thread) matchPorts(protocol accounting.Protocol, source, destination [2]uint16, invertSource, invertDestination bool) branches {
	portsAt := func(offset uint32, ports [2]uint16, invert bool) func(thread) branches {
		return func(t thread) branches {
			if ports == [2]uint16{0, lastPort} {
				return t.always(!invert)
			}
			values := interval{binary.BigEndian.AppendUint16(nil, ports[0]), binary.BigEndian.AppendUint16(nil, ports[1])}
			return t.within(t.payload(expr.PayloadBaseTransportHeader, offset, 2), values).invertedIf(invert)
		}
	}
	return t.always(t.protocol == protocol).and(portsAt(0, source, invertSource)).and(portsAt(2, destination, invertDestination))
}

// matchMultiport decodes struct xt_multiport_v1 of
// include/uapi/linux/netfilter/xt_multiport.h.
func (t thread) matchMultiport(info []byte) branches {
	const (
		maxPorts  = 15 // XT_MULTI_PORTS
		portsAt   = 2  // after flags and count
		rangesAt  = portsAt + 2*maxPorts
		invertAt  = rangesAt + maxPorts
		sources   = 0 // XT_MULTIPORT_SOURCE
		targets   = 1 // XT_MULTIPORT_DESTINATION
		inversion = 1
	)
	if len(info) <= invertAt || info[1] > maxPorts {
		return t.either()
	}
	var ports []PortRange
	for i := 0; i < int(info[1]); i++ {
		port := binary.NativeEndian.Uint16(info[portsAt+2*i:])
		if i > 0 && info[rangesAt+i-1] != 0 {
			ports[len(ports)-1].Last = port
		} else {
			ports = append(ports, PortRange{port, port})
		}
	}
	matched := branches{t.where(t.ports.and(newPortSet(ports))), t.where(t.ports.minus(newPortSet(ports)))}
	switch {
	case info[0] == targets && !t.sourcePort || info[0] == sources && t.sourcePort:
	case info[0] == targets || info[0] == sources:
		return t.either()
	default: // the other port may be one of them
		matched.yes = append(matched.yes, matched.no...)
	}
	return matched.invertedIf(info[invertAt] == inversion)
}

// matchAddresses decodes struct xt_iprange_mtinfo of
// include/uapi/linux/netfilter/xt_iprange.h.
func (t thread) matchAddresses(info []byte) branches {
	const (
		addressSize       = 16 // union nf_inet_addr, of which there are four
		flagsAt           = 4 * addressSize
		source            = 1 << 0 // IPRANGE_SRC
		destination       = 1 << 1 // IPRANGE_DST
		invertSource      = 1 << 4 // IPRANGE_SRC_INV
		invertDestination = 1 << 5 // IPRANGE_DST_INV
	)
	if len(info) <= flagsAt {
		return t.either()
	}
	flags := info[flagsAt]
	within := func(asked byte, of field, at int, inverting byte) func(thread) branches {
		return func(t thread) branches {
			if flags&asked == 0 {
				return t.always(true)
			}
			length := t.addressLength()
			last := info[at+addressSize:]
			return t.within(fieldCells(of, length), interval{info[at : at+length], last[:length]}).invertedIf(flags&inverting != 0)
		}
	}
	return within(source, sourceField, 0, invertSource)(t).and(within(destination, addressField, 2*addressSize, invertDestination))
}

// matchAddressType decodes struct xt_addrtype_info_v1 of
// include/uapi/linux/netfilter/xt_addrtype.h.
func (t thread) matchAddressType(info *xt.AddrTypeV1) branches {
	const (
		invertSource = 1 << iota
		invertDestination
		limitIn
		limitOut
	)
	if info.Source != 0 { // as any condition on where packets come from
		return t.either()
	}
	local, invert := info.Dest&(1<<unix.RTN_LOCAL) != 0, info.Flags&invertDestination != 0
	switch {
	case info.Flags&(limitIn|limitOut) != 0 && local:
		return t.within(fieldCells(addressTypeHere, 4), interval{localType, localType}).invertedIf(invert)
	case t.toOthers:
		return t.always((info.Dest&(1<<unix.RTN_UNICAST) != 0) != invert)
	}
	t.toHost = t.toHost || local != invert
	return t.always(local != invert)
}

// matchConntrack applies the states of the conntrack extension. What else it can
// match is unknown.
func (t thread) matchConntrack(info *xt.ConntrackMtinfo3) branches {
	states := xt.ConntrackFlags(info.MatchFlags)
	if states&^xt.ConntrackStateAlias != xt.ConntrackState || !t.tracked {
		if states&xt.ConntrackOrigSrc != 0 {
			t.doubts |= unknownSender
		}
		return t.either()
	}
	matches := uint32(info.StateMask)&expr.CtStateBitNEW != 0
	invert := xt.ConntrackFlags(info.InvertFlags)&xt.ConntrackState != 0
	return t.always(matches != invert)
}

// matchMark decodes struct xt_mark_mtinfo1, which struct xt_connmark_mtinfo1
// equals, and applies it to a mark.
func (t thread) matchMark(mark []cell, info []byte) branches {
	const (
		maskAt   = 4
		invertAt = 8
	)
	if len(info) <= invertAt {
		return t.either()
	}
	masked := slices.Clone(mark)
	for i := range masked {
		masked[i] = masked[i].through(info[maskAt+i], 0)
	}
	return t.within(masked, interval{info[:maskAt], info[:maskAt]}).invertedIf(info[invertAt] != 0)
}

// native returns the expression of nf_tables that does what a target of iptables does.
// It returns any other expression unchanged.
func native(expression any) any {
	target, _ := expression.(*expr.Target)
	if target == nil {
		return expression
	}
	switch target.Name {
	case "CT":
		if info, ok := target.Info.(*xt.Unknown); ok && isNotrack(*info) {
			return &expr.Notrack{}
		}
	case "NFQUEUE":
		return &expr.Queue{}
	case "NOTRACK":
		return &expr.Notrack{}
	case "REJECT":
		return &expr.Reject{}
	case "TEE":
		return &expr.Dup{}
	case "TPROXY":
		return tproxy{accepts: true}
	case "DNPT", "RAWDNAT":
		return rewriting{}
	case "AUDIT", "CHECKSUM", "CLASSIFY", "CONNSECMARK", "DSCP", "ECN", "HL", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST", "SECMARK", "SET",
		"TCPMSS", "TCPOPTSTRIP", "TOS", "TRACE", "TTL", "ULOG":
		return ignored{} // neither ends a rule nor changes what is followed here
	}
	return target
}

// rewriting is a target that changes the destination without connection tracking.
type rewriting struct{}

// target applies a target of iptables for which nf_tables has no expression.
func (a *application) target(t thread, e *expr.Target) []thread {
	info, _ := e.Info.(*xt.Unknown)
	switch {
	case e.Name == "DNAT" || e.Name == "REDIRECT":
		a.iptablesNAT(t, e.Name, e.Info)
		return nil
	case e.Name == "MARK" && e.Rev == 2 && info != nil:
		t.setMark(*info)
	case e.Name == "CONNMARK" && info != nil:
		t.setConnMark(*info, e.Rev)
	case e.Name == "MARK" || e.Name == "HMARK":
		t.mark = [4]cell{}
	case a.translates:
		a.report(t, result{reason: "target " + e.Name + " is not known"})
		return nil
	}
	return []thread{t}
}

// isNotrack decodes the flags of struct xt_ct_target_info.
func isNotrack(info []byte) bool {
	const notrack = 1 // XT_CT_NOTRACK
	return len(info) >= 2 && binary.NativeEndian.Uint16(info)&notrack != 0
}

// setMark decodes struct xt_mark_tginfo2 and applies it.
func (t *thread) setMark(info []byte) {
	const maskAt, size = 4, 8
	if len(info) < size {
		t.mark = [4]cell{}
		return
	}
	for i := range t.mark {
		t.mark[i] = t.mark[i].through(^info[maskAt+i], info[i])
	}
}

// setConnMark decodes struct xt_connmark_tginfo1, or tginfo2, which can shift the
// mark as well, and applies it.
func (t *thread) setConnMark(info []byte, revision uint32) {
	const (
		connMaskAt = 4
		markMaskAt = 8
		firstAt    = 12 // revision 1: the mode; 2: direction and width of a shift, and the mode
		size       = 16
		set        = 0 // XT_CONNMARK_SET
		save       = 1 // XT_CONNMARK_SAVE
		restore    = 2 // XT_CONNMARK_RESTORE
	)
	modeAt := firstAt + 2*(int(min(revision, 2))-1)
	if len(info) < size || revision == 0 || modeAt > firstAt && info[firstAt+1] != 0 {
		t.mark, t.connMark = [4]cell{}, [4]cell{}
		return
	}
	for i := range t.mark {
		connMask, markMask := info[connMaskAt+i], info[markMaskAt+i]
		switch info[modeAt] {
		case set:
			t.connMark[i] = t.connMark[i].through(^connMask, info[i])
		case save:
			t.connMark[i] = merged(t.connMark[i].through(^connMask, 0), t.mark[i].through(markMask, 0))
		case restore:
			t.mark[i] = merged(t.mark[i].through(^markMask, 0), t.connMark[i].through(connMask, 0))
		}
	}
}

// merged returns a ^ b, which is only known where one of them is.
func merged(a, b cell) cell {
	switch {
	case a.field == constant:
		return b.through(0xff, a.value)
	case b.field == constant:
		return a.through(0xff, b.value)
	}
	return cell{}
}
