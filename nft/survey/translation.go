package survey

import (
	"net/netip"
	"slices"

	"ssmonitor/accounting"
)

// Host is what has to be known of this host to follow packets to it.
type Host struct {
	Addresses []netip.Addr
	Uplinks   []string // names of the interfaces that carry a default route
}

// Translation is what a rule makes of packets that clients send to ports of this
// host: another destination.
type Translation struct {
	Place          Place // the chain whose rule translates
	Protocol       accounting.Protocol
	Ports          PortRange      // before the translation
	Target         netip.AddrPort // without an address: this host; with port 0: the port stays
	LastTargetPort uint16         // the kernel chooses a port from Target's to this one; 0: there is no choice

	// What the conditions on the way require.
	Incoming      []string       // an interface of these, which may end in *; empty: any
	Excluded      []string       // an interface that is none of these uplinks, or patterns of such
	Sources       []netip.Prefix // a source address in one of these; empty: any
	SourceSets    []string       // a source address in each of these sets, which were not read
	UnknownSender bool           // something of the sender that is not understood
	LocalOnly     bool           // a destination address of this host
	LeavesOut     bool           // a destination that is none of some addresses of this host
}

// Unresolved is packets to ports of this host that may be translated in a way that
// is not understood.
type Unresolved struct {
	Place     Place
	Protocol  accounting.Protocol
	Ports     PortRange
	Reason    string
	Stateless bool // translated without connection tracking, which thus does not show where to
}

// Contains reports whether a port is in the range.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// TargetPorts returns the ports that those of the packets may have afterwards: the kernel
// chooses.
func (t Translation) TargetPorts(before PortRange) PortRange {
	if t.Target.Port() == 0 {
		return before
	}
	return PortRange{t.Target.Port(), max(t.Target.Port(), t.LastTargetPort)}
}

// Forwards reports whether the host forwards the packets, because their new
// destination is another host or a container.
func (t Translation) Forwards(host Host) bool { return host.Forwards(t.Target.Addr()) }

// Forwards reports whether the host forwards packets to the address, which may be
// the zero Addr: this host.
func (h Host) Forwards(to netip.Addr) bool {
	return to.IsValid() && !to.IsLoopback() && !slices.Contains(h.Addresses, to)
}

// Outgoing reports whether the rule may be meant for what containers or other
// hosts send to remote servers: it asks where packets come from, which is not an
// uplink, and not whether they are for this host, or leaves out what is.
func (t Translation) Outgoing(host Host) bool {
	restricted := t.UnknownSender || len(t.Incoming)+len(t.Sources)+len(t.SourceSets) > 0 || slices.ContainsFunc(t.Excluded, host.hasUplink)
	return !t.LocalOnly && (t.LeavesOut || restricted && !slices.ContainsFunc(t.Incoming, host.hasUplink))
}

// hasUplink reports whether an uplink has a name, or one that the pattern matches.
func (h Host) hasUplink(pattern string) bool {
	return slices.ContainsFunc(h.Uplinks, func(uplink string) bool { return matchesInterface(pattern, uplink) })
}
