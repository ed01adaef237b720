package publishing

import (
	"fmt"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/nft/ipvs"
	"ssmonitor/nft/survey"
)

// Decision is where published ports lead.
type Decision struct {
	// Forwarding is what is to be counted where the host forwards it. The targets
	// are sorted, and each address and port is there once.
	accounting.Forwarding
	// Transient reports whether the decision can change although nobody changes a
	// rule: connections end, or begin where no rule shows a target.
	Transient bool
	// Findings are about everything that may be published.
	Findings []finding.Finding
}

// KeepInstalled adds those of the installed targets that were not decided about.
func (d *Decision) KeepInstalled(installed []accounting.Target) {
	taken := make(map[endpoint]bool)
	for _, target := range d.Targets {
		taken[endpointOf(target)] = true
	}
	for _, target := range installed {
		if !taken[endpointOf(target)] {
			d.Targets = append(d.Targets, target)
		}
	}
}

// Decide decides for the ports, for a caller that puts the decision in force. The operator
// has named some of the targets.
func (s *Scene) Decide(ports accounting.Ports, named []accounting.Target) (Decision, error) {
	return s.decide(ports, named, false)
}

// Review is [Scene.Decide] for a caller that shows the decision: what is not installed is
// not counted.
func (s *Scene) Review(ports accounting.Ports, named []accounting.Target) (Decision, error) {
	return s.decide(ports, named, true)
}

func (s *Scene) decide(ports accounting.Ports, named []accounting.Target, onlyReviews bool) (Decision, error) {
	d := &decider{Scene: s, ports: ports, onlyReviews: onlyReviews, owner: make(map[endpoint]uint16), doubts: make(map[endpoint]bool)}
	d.Known = true
	if !s.Hook.CountsForwarded() {
		d.reportCountedBefore()
		return d.Decision, nil
	}
	if err := d.collect(named); err != nil {
		return d.Decision, err
	}
	d.report(named)
	slices.SortFunc(d.Targets, accounting.Target.Compare)
	if d.byConnection {
		d.Transient = true // the addresses can change
		d.Addresses = hostAddresses(d.Host.Addresses)
	}
	return d.Decision, nil
}

// collect collects the targets, and notes where they are shared or can't be seen. The
// first source that has an address and port decides about it. Connections come last:
// whether they show a target or count by themselves depends on what all others left open.
func (d *decider) collect(named []accounting.Target) error {
	for _, target := range named {
		d.add(target, "the settings (@)")
	}
	d.addTranslations()
	d.addServices()
	d.countUnseen()
	if err := d.addLingering(); err != nil {
		return err
	}
	d.addRedirected()
	return nil
}

// report reports what is counted at forward, and what is not, in the order of findings.
func (d *decider) report(named []accounting.Target) {
	d.reportTargets()
	d.reportBesides(named)
	d.reportOtherNumbers()
	d.reportOtherAddresses()
	d.reportOffloads(len(d.Targets) > 0 || d.mayPublish())
	d.reportTransparent()
}

// decider collects a decision from one source of targets after another. The first
// one that has an address and port decides.
type decider struct {
	*Scene
	Decision
	ports       accounting.Ports
	onlyReviews bool                // nobody acts on the decision
	owner       map[endpoint]uint16 // the port for which a target is counted
	doubts      map[endpoint]bool   // targets that are reached for other reasons, too
	groups      []*group
	// byConnection is set where only the connection entry shows what a client has
	// sent to.
	byConnection bool
}

// hostAddresses returns the addresses as packets have them, sorted and each once.
func hostAddresses(addresses []netip.Addr) (list []netip.Addr) {
	for _, address := range addresses {
		if !address.IsLoopback() {
			list = append(list, address.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// group is what one finding is about: the ports that are published in one way.
type group struct {
	by        string
	ports     []accounting.Port // may be there more than once
	addresses []netip.AddrPort
	targets   []accounting.Target
	known     map[netip.AddrPort]bool // the addresses
}

// add adds a target that was found by something.
func (d *decider) add(target accounting.Target, by string) {
	port, _ := d.ports.Find(target.Port)
	if !port.Protocols.Has(target.Protocol) {
		return
	}
	at := endpointOf(target)
	owner, taken := d.owner[at]
	switch {
	case !taken:
		d.owner[at] = target.Port
		d.Targets = append(d.Targets, target)
		g := d.group(by)
		g.include(port, target.Address)
		g.targets = append(g.targets, target)
	case owner != target.Port: // the entry distinguishes what clients of the two begin
		d.byConnection = true
		d.noteShared(owner, target)
	}
}

func (d *decider) group(by string) *group {
	for _, g := range d.groups {
		if g.by == by {
			return g
		}
	}
	d.groups = append(d.groups, &group{by: by, known: make(map[netip.AddrPort]bool)})
	return d.groups[len(d.groups)-1]
}

func (g *group) include(port accounting.Port, address netip.AddrPort) {
	g.ports = append(g.ports, port)
	if !g.known[address] {
		g.known[address], g.addresses = true, append(g.addresses, address)
	}
}

const (
	// mostChoices is the most ports of a container, of which the kernel chooses one,
	// that are targets of a port.
	mostChoices = 256
	// mostTargets is the most targets of a port's rules for one protocol.
	mostTargets = 4096
)

// addTranslations adds the targets of rules.
func (d *decider) addTranslations() {
	var count accounting.KeyMap[int]
	for i := range d.Rules.Translations {
		t := &d.Rules.Translations[i]
		for _, port := range d.covered(t.Protocol, t.Ports) {
			targets := count.At(accounting.Key{Port: port.Number, Protocol: t.Protocol})
			*targets++
			switch {
			case !t.Forwards(d.Host):
				d.noteRedirect(t, port)
			case t.Outgoing(d.Host): // of that, what is sent to an address of this host is the port's
				for _, target := range targetsOf(t, port.Number) {
					d.doubt(endpointOf(target))
				}
				d.noteDoubtful(t, port)
			case int(t.LastTargetPort)-int(t.Target.Port()) >= mostChoices:
				d.byConnection = true
				d.noteByEntries(t, port, fmt.Sprintf("one of the ports %d-%d of %s:", t.Target.Port(), t.LastTargetPort, t.Target.Addr()))
			case *targets > mostTargets:
				d.byConnection = true
				d.noteByEntries(t, port, fmt.Sprintf("more than %d targets: those beyond are", mostTargets))
			default:
				for _, target := range targetsOf(t, port.Number) {
					d.add(target, "chain "+t.Place.String())
				}
			}
		}
	}
}

// covered returns the ports in the range that are counted for the protocol.
func (d *decider) covered(protocol accounting.Protocol, ports survey.PortRange) (covered []accounting.Port) {
	first, _ := slices.BinarySearchFunc(d.ports, ports.First, func(p accounting.Port, n uint16) int { return int(p.Number) - int(n) })
	for _, port := range d.ports[first:] {
		if !ports.Contains(port.Number) {
			break
		}
		if port.Protocols.Has(protocol) {
			covered = append(covered, port)
		}
	}
	return covered
}

// targetsOf returns where a translation leads what clients send to the port. The
// kernel chooses from a range.
func targetsOf(t *survey.Translation, port uint16) (targets []accounting.Target) {
	inside := t.TargetPorts(survey.PortRange{First: port, Last: port})
	for number := int(inside.First); number <= int(inside.Last); number++ {
		targets = append(targets, accounting.Target{Protocol: t.Protocol, Address: netip.AddrPortFrom(t.Target.Addr(), uint16(number)), Port: port})
	}
	return targets
}

// addServices adds the real servers of IPVS, whose answers are forwarded.
func (d *decider) addServices() {
	for _, service := range d.Services {
		if !service.Address.IsValid() {
			if len(service.Servers) > 0 {
				d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Unknown, Message: fmt.Sprintf("IPVS has a service for the packets with mark %d: which ports it is for is unknown", service.Mark), Remedy: nameTarget})
			}
			continue
		}
		if !slices.Contains(d.Host.Addresses, service.Address.Addr()) {
			continue
		}
		for _, port := range d.covered(service.Protocol, portsOf(service)) {
			for _, server := range service.Servers {
				if server.Port() == 0 {
					server = netip.AddrPortFrom(server.Addr(), port.Number)
				}
				d.add(accounting.Target{Protocol: service.Protocol, Address: server, Port: port.Number}, "IPVS")
			}
		}
	}
}

// portsOf returns the ports that a service is for: all of them if it is for a mark, or
// for port 0.
func portsOf(service ipvs.Service) survey.PortRange {
	port := service.Address.Port()
	if port == 0 {
		return survey.PortRange{First: 0, Last: 1<<16 - 1}
	}
	return survey.PortRange{First: port, Last: port}
}

// countUnseen has connection entries count what may be published in a way that can't be
// seen, as far as they show it.
func (d *decider) countUnseen() {
	for _, u := range d.Rules.Unresolved {
		ports := d.covered(u.Protocol, u.Ports)
		switch {
		case len(ports) == 0:
		case u.Stateless:
			d.noteStateless(u, ports, "not counted", onlyNameTarget)
		default:
			d.byConnection = true
			d.noteUnresolved(u, ports)
		}
	}
	if d.Rules.LegacyNAT {
		d.byConnection = true
		d.noteLegacyNAT()
	}
}

// addRedirected adds the targets of connections, whatever rule translates them. Where
// entries count, those that the table doesn't have yet are counted all the same.
func (d *decider) addRedirected() {
	for _, target := range inOrder(d.Redirected) {
		at := endpointOf(target)
		counted := d.onlyReviews && d.byConnection && !slices.Contains(d.Installed, target)
		if !d.Host.Forwards(target.Address.Addr()) || d.doubts[at] || counted {
			continue
		}
		d.Transient = true
		if _, decided := d.owner[at]; !decided && d.isAnothers(at) {
			d.doubt(at)
			continue
		}
		d.add(target, connectionOnly)
	}
}

// inOrder returns targets that the kernel lists in another order each time in one that
// stays: the first port of a target has it, and findings that stay are the same.
func inOrder(targets []accounting.Target) []accounting.Target {
	return slices.SortedFunc(slices.Values(targets), accounting.Target.Compare)
}

// addLingering adds the targets that are counted and to which only connections lead. One
// that is another's by now, and that no connection is left of, changes nothing: it is
// not installed at the next look, which must not decide otherwise.
func (d *decider) addLingering() error {
	rest := slices.DeleteFunc(slices.Clone(d.Installed), func(target accounting.Target) bool {
		_, decided := d.owner[endpointOf(target)]
		return decided
	})
	if len(rest) > 0 && len(d.Rules.Unread) == 0 { // a rule that can't be read may publish any of them
		var err error
		if rest, err = d.Connected(rest); err != nil {
			return fmt.Errorf("looking for connections with containers: %w", err)
		}
	}
	for _, target := range inOrder(rest) {
		if at := endpointOf(target); d.isAnothers(at) {
			d.doubt(at)
			continue
		}
		d.Transient = true
		d.add(target, connectionOnly)
	}
	return nil
}

// isAnothers reports whether a rule leads to a target for which none of a counted port
// does: the container's address may have been given to another one.
func (d *decider) isAnothers(at endpoint) bool {
	return slices.ContainsFunc(d.Rules.Translations, func(t survey.Translation) bool {
		return t.Protocol == at.protocol && t.Target.Addr() == at.address.Addr() && t.TargetPorts(t.Ports).Contains(at.address.Port())
	})
}

// doubt has the connection entry decide which of the connections that go to a place are
// a counted port's.
func (d *decider) doubt(at endpoint) { d.byConnection, d.doubts[at] = true, true }

// mayPublish reports whether a port may be published in a way that can't be seen.
func (d *decider) mayPublish() bool {
	return d.Rules.LegacyNAT || slices.ContainsFunc(d.Rules.Unresolved, func(u survey.Unresolved) bool {
		return len(d.covered(u.Protocol, u.Ports)) > 0
	})
}
