package accounting

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Forwarding is what is counted where the host forwards packets.
type Forwarding struct {
	// Known reports whether the rest is known. Otherwise what the table counts there
	// stays as it is.
	Known   bool
	Targets []Target
	// Addresses are those of this host, if not every target is known. What a client
	// begins by sending to one of them and a counted port is then counted wherever
	// the host forwards it, as long as connection tracking has the entry.
	Addresses []netip.Addr
}

// Equal reports whether the same is counted, in the same order.
func (f Forwarding) Equal(other Forwarding) bool {
	return f.Known == other.Known && slices.Equal(f.Targets, other.Targets) && slices.Equal(f.Addresses, other.Addresses)
}

// Target is where the host forwards what clients send to a counted port: the
// address and the port of a container, for example. Its address has no zone and is
// not IPv4-mapped, so that equal targets compare equal.
type Target struct {
	Protocol Protocol
	Address  netip.AddrPort
	Port     uint16 // the counted one
}

// String returns the target as in tcp 172.17.0.2:8388.
func (t Target) String() string { return t.Protocol.String() + " " + t.Address.String() }

// Compare orders targets by counted port, protocol, address and port.
func (t Target) Compare(other Target) int {
	return cmp.Or(cmp.Compare(t.Port, other.Port), cmp.Compare(t.Protocol, other.Protocol), t.Address.Compare(other.Address))
}

// Targets merges lists of targets: it returns those of the ports, as far as their
// protocols are counted, in the order of [Target.Compare] and each once. It fails
// if two ports have the same target, where their clients can't be told apart.
func (ports Ports) Targets(lists ...[]Target) ([]Target, error) {
	targets := slices.DeleteFunc(slices.Concat(lists...), func(t Target) bool {
		port, _ := ports.Find(t.Port)
		return !port.Protocols.Has(t.Protocol)
	})
	slices.SortFunc(targets, Target.Compare)
	targets = slices.Compact(targets)
	of := make(map[Target]uint16, len(targets))
	for _, target := range targets {
		place := target
		place.Port = 0
		if port, taken := of[place]; taken {
			return nil, fmt.Errorf("ports %d and %d have the same target, %s, where their clients can't be told apart: name it for one of them",
				port, target.Port, target)
		}
		of[place] = target.Port
	}
	return targets, nil
}
