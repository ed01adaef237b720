package publishing

import (
	"net/netip"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/nft/survey"
)

// HandedOn returns those of the ports for which a rule or a service may have a program
// elsewhere receive what clients send: in a container, where the port may be published by
// another number, or at another port of this host.
func (s *Scene) HandedOn(ports accounting.Ports) map[uint16]bool {
	d, on := &decider{Scene: s, ports: ports}, make(map[uint16]bool)
	hand := func(protocol accounting.Protocol, ports survey.PortRange) {
		for _, port := range d.covered(protocol, ports) {
			on[port.Number] = true
		}
	}
	inside := func(protocol accounting.Protocol, server netip.AddrPort) {
		if s.Host.Forwards(server.Addr()) {
			hand(protocol, survey.PortRange{First: server.Port(), Last: server.Port()})
		}
	}
	for _, t := range slices.Concat(s.Rules.Translations, s.Rules.Elsewhere) {
		hand(t.Protocol, t.Ports)
		inside(t.Protocol, t.Target)
	}
	for _, u := range s.Rules.Unresolved {
		hand(u.Protocol, u.Ports)
	}
	for _, t := range s.Rules.Transparent {
		hand(t.Protocol, t.Ports)
	}
	for _, service := range s.Services {
		hand(service.Protocol, portsOf(service))
		for _, server := range service.Servers {
			inside(service.Protocol, server)
		}
		if !service.Address.IsValid() { // for a mark, whatever the protocol
			hand(accounting.TCP, portsOf(service))
			hand(accounting.UDP, portsOf(service))
		}
	}
	for _, target := range slices.Concat(s.Redirected, s.Installed) {
		on[target.Port] = true
		inside(target.Protocol, target.Address)
	}
	return on
}
