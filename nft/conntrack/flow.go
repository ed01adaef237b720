package conntrack

import (
	"net/netip"

	"ssmonitor/accounting"
)

// Flow is a connection entry of TCP or UDP. Both tuples are those of packets on
// arrival: before the kernel translates them.
type Flow struct {
	Protocol accounting.Protocol
	Original Tuple // of packets from the end that began the flow
	Reply    Tuple // of packets from the other end
}

// Tuple is the addresses and ports of a packet.
type Tuple struct{ Source, Destination netip.AddrPort }

// DestinationTranslated reports whether the packets of the end that began the flow
// are sent on to another address or port, as those to a published port are:
// Original.Destination is the published one, Reply.Source where it leads.
func (f Flow) DestinationTranslated() bool { return f.Original.Destination != f.Reply.Source }

// Ends returns the own addresses of the end that began the flow and of the other
// one. They are also what the forward hook sees: it comes after translations of the
// destination and before those of the source. A server is the first end where it
// sent the first packet that the kernel knows of.
func (f Flow) Ends() [2]netip.AddrPort {
	return [2]netip.AddrPort{f.Original.Source, f.Reply.Source}
}
