package portlist

import (
	"cmp"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
)

const (
	expectedTarget = "the address of a container, and its port if that is another one, as in 8388@172.17.0.2, 8388@172.17.0.2:8388 or 8388@[fd00::2]:8388"
	// expectedRemote is for what no packet is forwarded to.
	expectedRemote    = "an address that the host forwards to: without a zone, and not loopback, multicast, broadcast or link-local IPv6"
	expectedOwnNumber = "an address without a port after a range: each port of it is forwarded to the same number"
	expectedFewer     = "fewer ports or targets"
)

// maxTargets is two for each port and protocol, such as one for IPv4 and one for
// IPv6. Like maxPorts, it keeps a list from taking all memory.
const maxTargets = 2 * maxPorts

// parseTargets returns the targets that @ADDRESS[:PORT]... names for the ports. The
// first @ is in spec at an offset.
func parseTargets(spec string, ports []accounting.Port, places []string, at int) ([]accounting.Target, error) {
	if len(ports)*len(places) > maxTargets/2 { // each may be one for TCP and one for UDP
		return nil, &SpecError{spec, spec, 0, expectedFewer}
	}
	var targets []accounting.Target
	for _, place := range places {
		at += len("@")
		target, err := parsePlace(spec, place, at)
		if err != nil {
			return nil, err
		}
		if target.Port() != 0 && len(ports) > 1 {
			return nil, &SpecError{spec, place, at, expectedOwnNumber}
		}
		at += len(place)
		for _, port := range ports {
			address := netip.AddrPortFrom(target.Addr(), cmp.Or(target.Port(), port.Number))
			for _, protocol := range [...]accounting.Protocol{accounting.TCP, accounting.UDP} {
				if port.Protocols.Has(protocol) {
					targets = append(targets, accounting.Target{Protocol: protocol, Address: address, Port: port.Number})
				}
			}
		}
	}
	return sorted(targets), nil
}

// parsePlace reads ADDRESS[:PORT], an IPv6 address in brackets. The port is 0 if
// there is none.
func parsePlace(spec, place string, offset int) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(place)
	hasPort := err == nil
	if !hasPort {
		at, err = netip.ParseAddrPort(place + ":0")
	}
	address := at.Addr().Unmap()
	switch {
	case err != nil || hasPort && at.Port() == 0:
		return at, &SpecError{spec, place, offset, expectedTarget}
	case !forwardedTo(address):
		return at, &SpecError{spec, place, offset, expectedRemote}
	}
	return netip.AddrPortFrom(address, at.Port()), nil
}

// forwardedTo reports whether packets to the address can be forwarded. The kernel
// forwards link-local addresses of IPv4, but not those of IPv6.
func forwardedTo(address netip.Addr) bool {
	return address.Zone() == "" && (address.IsGlobalUnicast() || address.Is4() && address.IsLinkLocalUnicast())
}

// sorted returns the targets in the order of Compare, each once.
func sorted(targets []accounting.Target) []accounting.Target {
	return slices.Compact(slices.SortedFunc(slices.Values(targets), accounting.Target.Compare))
}

// addresses returns where the targets are, each place once.
func addresses(targets []accounting.Target) []netip.AddrPort {
	places := make([]netip.AddrPort, 0, len(targets))
	for _, target := range targets {
		places = append(places, target.Address)
	}
	slices.SortFunc(places, netip.AddrPort.Compare)
	return slices.Compact(places)
}

// perProtocol returns the entry in parts that one specification each describes:
// two if the targets for TCP are not those for UDP.
func (e Entry) perProtocol() []Entry {
	parts := []Entry{e, e}
	for i, protocol := range [...]accounting.Protocol{accounting.TCP, accounting.UDP} {
		parts[i].Protocols = accounting.OnlyTCP << i
		parts[i].Targets = slices.DeleteFunc(slices.Clone(e.Targets), func(t accounting.Target) bool { return t.Protocol != protocol })
	}
	if e.Protocols != accounting.TCPAndUDP || slices.Equal(addresses(parts[0].Targets), addresses(parts[1].Targets)) {
		return []Entry{e}
	}
	return parts
}
