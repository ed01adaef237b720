package publishing

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/nft/survey"
)

// connectionOnly describes what found a target if no rule did: one that does not
// exist any more, or that can't be read.
const connectionOnly = "a rule that is gone or can't be read, as connections show until they end,"

// hookContainer is the remedy that needs no target.
const hookContainer = "count at the hook for containers: write \"hook: container\" into /etc/ssmonitor/config.yaml\n" +
	"then ssmonitor setup && systemctl restart ssmonitor-setup ssmonitor"

// hookHost is the remedy where only the number behind the translation is known.
const hookHost = "count where packets have their last number: write \"hook: host\" into /etc/ssmonitor/config.yaml, " +
	"then ssmonitor setup && systemctl restart ssmonitor-setup ssmonitor"

// onlyNameTarget is the remedy where a target is unknown, and nothing else shows it.
const onlyNameTarget = `name where the port leads: add "PORT@ADDRESS:PORT"` + addToList

// nameTarget is the remedy where a target is unknown.
const nameTarget = onlyNameTarget + "\nor " + hookContainer

// addToList ends the remedy of adding a port or a target. `ssmonitor setup --port` would not
// add a target to a port that is there already.
const addToList = ` to the ports in /etc/ssmonitor/clients.yaml, then ssmonitor setup`

func addPorts(ports string) string { return fmt.Sprintf(`add "%s"%s`, ports, addToList) }

func addTarget(port uint16, target netip.AddrPort) string {
	return fmt.Sprintf(`add "%d@%s"%s`, port, target, addToList)
}

// note adds a finding that is not there yet.
func (d *decider) note(f finding.Finding) {
	if !slices.Contains(d.Findings, f) {
		d.Findings = append(d.Findings, f)
	}
}

// reportTargets reports what is counted at forward.
func (d *decider) reportTargets() {
	installed := make(map[accounting.Target]bool)
	for _, target := range d.Installed {
		installed[target] = true
	}
	for _, g := range d.groups {
		if g.by == connectionOnly { // in the order of entries, and of what lingers
			slices.SortFunc(g.ports, func(a, b accounting.Port) int { return cmp.Compare(a.Number, b.Number) })
		}
		message := fmt.Sprintf("%s: published by %s to %s", finding.DescribePorts(g.ports), g.by, describeAddresses(g.addresses))
		if d.onlyReviews && slices.ContainsFunc(g.targets, func(target accounting.Target) bool { return !installed[target] }) {
			d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Wrong, Subject: g.by, Message: message + ", where it is not counted",
				Remedy: "the agent counts it within seconds, if it runs: systemctl enable --now ssmonitor\nwithout an agent: ssmonitor setup"})
		} else {
			d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.OK, Subject: g.by, Message: message + ", and counted where the host forwards it"})
		}
	}
}

// describeAddresses names the lowest few: what connections show has no order.
func describeAddresses(addresses []netip.AddrPort) string {
	const most = 3
	var texts []string
	addresses = slices.SortedFunc(slices.Values(addresses), netip.AddrPort.Compare)
	for _, address := range addresses[:min(most, len(addresses))] {
		text := address.String()
		if address.Port() == 0 { // the port stays
			text = address.Addr().String()
		}
		texts = append(texts, text)
	}
	text := strings.Join(texts, ", ")
	if len(addresses) > most {
		text += fmt.Sprintf(" and %d more", len(addresses)-most)
	}
	return text
}

// noteByEntries notes that the connection entry shows which target a connection has, of
// more than are counted by their addresses.
func (d *decider) noteByEntries(t *survey.Translation, port accounting.Port, targets string) {
	d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Note, Subject: t.Place.String(),
		Message: fmt.Sprintf("%s: published by chain %s to %s counted as far as connection entries show it", finding.DescribePorts([]accounting.Port{port}), t.Place, targets)})
}

// noteShared notes a second port with the same target.
func (d *decider) noteShared(owner uint16, target accounting.Target) {
	d.note(finding.Finding{ID: finding.SharedTarget, Level: finding.Note, Subject: target.String(), Message: fmt.Sprintf(
		"ports %d and %d are both published to %s: a connection that begins there, or whose entry is lost, counts as port %d",
		owner, target.Port, target, owner)})
}

// reportBesides reports ports that are not counted, and lead to the target of one that is.
// Whoever names a target means all that goes there.
func (d *decider) reportBesides(named []accounting.Target) {
	for i := range d.Rules.Translations {
		t := &d.Rules.Translations[i]
		port := t.Ports.First
		owner, taken := d.owner[endpoint{t.Protocol, t.Target}]
		target := accounting.Target{Protocol: t.Protocol, Address: t.Target, Port: owner}
		if !taken || port != t.Ports.Last || len(d.covered(t.Protocol, t.Ports)) > 0 || t.Outgoing(d.Host) || slices.Contains(named, target) {
			continue
		}
		d.note(finding.Finding{ID: finding.SharedTarget, Level: finding.Note, Subject: target.String(), Message: fmt.Sprintf(
			"port %d, which is not counted, is published to %s as well: what its clients send there counts as port %d", port, target, owner),
			Remedy: "count both, and they are told apart: " + addPorts(fmt.Sprint(port))})
	}
}

// noteRedirect notes a translation to another port of this host. One that may be for
// what containers send to other servers is no concern of the port.
func (d *decider) noteRedirect(t *survey.Translation, port accounting.Port) {
	target := t.Target.Port()
	if t.Outgoing(d.Host) || target == 0 || target == port.Number && t.LastTargetPort == 0 {
		return
	}
	subject, described := t.Place.String(), finding.DescribePorts([]accounting.Port{port})
	if other, _ := d.ports.Find(target); other.Protocols.Has(t.Protocol) && t.LastTargetPort == 0 {
		d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Note, Subject: subject, Message: fmt.Sprintf("%s: redirected to port %d by chain %s: counts as that port", described, target, t.Place),
			Remedy: "if it should count as itself, " + hookContainer})
		return
	}
	targets := fmt.Sprint(target)
	if t.LastTargetPort != 0 {
		targets += fmt.Sprintf("-%d", t.LastTargetPort)
	}
	d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Wrong, Subject: subject, Message: fmt.Sprintf("%s: redirected to port %s by chain %s, before hook host can count", described, targets, t.Place),
		Remedy: "count the port that it is redirected to: " + addPorts(targets) + "\nor " + hookContainer})
}

// noteDoubtful notes a translation that may be for what others send to other servers.
func (d *decider) noteDoubtful(t *survey.Translation, port accounting.Port) {
	d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Note, Subject: t.Place.String(), Message: fmt.Sprintf(
		"%s: chain %s translates it for %s, to %s: counted where the connection entry shows that it was sent to this host, not to other servers",
		finding.DescribePorts([]accounting.Port{port}), t.Place, describeSenders(t), targetsOf(t, port.Number)[0].Address)})
}

func describeSenders(t *survey.Translation) string {
	if t.LeavesOut {
		return "what is not sent to some addresses of this host"
	}
	if len(t.Incoming) > 0 {
		return "what arrives by " + strings.Join(t.Incoming, ", ")
	}
	if len(t.Excluded) > 0 {
		return "what does not arrive by " + strings.Join(t.Excluded, ", ")
	}
	senders := slices.Clone(t.SourceSets)
	for _, prefix := range t.Sources {
		senders = append(senders, prefix.String())
	}
	if len(senders) == 0 {
		return "senders that it describes in a way that is not understood"
	}
	return "senders in " + strings.Join(senders, ", ")
}

// reportOtherAddresses reports what is translated for addresses that may be routed to
// this host, though it does not have them: for each port once, since a node of a
// cluster has such rules for every service.
func (d *decider) reportOtherAddresses() {
	places, targets := make(map[uint16][]string), make(map[uint16][]netip.AddrPort)
	for i := range d.Rules.Elsewhere {
		t := &d.Rules.Elsewhere[i]
		for _, port := range d.covered(t.Protocol, t.Ports) {
			target := targetsOf(t, port.Number)[0]
			if d.owner[endpointOf(target)] == port.Number || !t.Forwards(d.Host) {
				continue
			}
			places[port.Number] = union(places[port.Number], t.Place.String())
			targets[port.Number] = union(targets[port.Number], target.Address)
		}
	}
	for _, port := range slices.Sorted(maps.Keys(places)) {
		chains, first := places[port], targets[port][0]
		message := fmt.Sprintf("port %d: chain %s translates it", port, chains[0])
		if len(chains) > 1 {
			message = fmt.Sprintf("port %d: chain %s and %d more translate it", port, chains[0], len(chains)-1)
		}
		d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Note, Subject: chains[0], Message: fmt.Sprintf("%s to %s for addresses that this host does not have: not counted", message, describeAddresses(targets[port])),
			Remedy: "if these are routed to this host, name where the port leads: " + addTarget(port, first)})
	}
}

// union returns the list with an item that it has once.
func union[T comparable](list []T, item T) []T {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

func (d *decider) noteUnresolved(u survey.Unresolved, ports []accounting.Port) {
	d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Unknown, Subject: u.Place.String(), Message: fmt.Sprintf("%s: chain %s may publish it in a way that is not understood (%s): counted as far as connection entries show it",
		finding.DescribePorts(ports), u.Place, u.Reason), Remedy: nameTarget})
}

func (d *decider) noteLegacyNAT() {
	d.note(finding.Finding{ID: finding.LegacyNAT, Level: finding.Unknown, Message: "iptables-legacy has a table nat, whose rules can't be read: " +
		"ports that it publishes are counted as far as connection entries show it", Remedy: "look at them: iptables-legacy -t nat -S; ip6tables-legacy -t nat -S\nif they lead a port elsewhere, " + nameTarget})
}

// noteStateless notes a translation that leaves no connection entry.
func (d *decider) noteStateless(u survey.Unresolved, ports []accounting.Port, consequence, remedy string) {
	d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.Unknown, Subject: u.Place.String(), Message: fmt.Sprintf("%s: chain %s may publish it (%s): %s",
		finding.DescribePorts(ports), u.Place, u.Reason, consequence), Remedy: remedy})
}

// reportOffloads reports flowtables. Only forwarded connections can be moved to one, and
// those of published ports are.
func (d *decider) reportOffloads(published bool) {
	for _, offload := range d.Rules.Offloads {
		message := fmt.Sprintf("chain %s offloads connections to flowtable %s", offload.Place, offload.Flowtable)
		if published {
			d.note(finding.Finding{ID: finding.FlowOffload, Level: finding.Wrong, Subject: offload.Place.String(), Message: message + ": only the first packets of published ports are counted",
				Remedy: "exclude those ports from the rule with flow add @" + offload.Flowtable})
		} else {
			d.note(finding.Finding{ID: finding.FlowOffload, Level: finding.OK, Subject: offload.Place.String(), Message: message + ", but none of these ports is forwarded"})
		}
	}
}

// reportTransparent reports what a program of this host gets that was sent to ports of
// other servers: at the input hook, that looks like traffic to this host.
func (d *decider) reportTransparent() {
	ports := make(map[survey.Place][]accounting.Port)
	for _, t := range d.Rules.Transparent {
		for _, port := range d.covered(t.Protocol, t.Ports) {
			ports[t.Place] = union(ports[t.Place], port)
		}
	}
	for _, t := range d.Rules.Transparent {
		if covered := ports[t.Place]; len(covered) > 0 {
			d.note(finding.Finding{ID: finding.TransparentProxy, Level: finding.Note, Subject: t.Place.String(), Message: fmt.Sprintf(
				"%s: chain %s hands what is sent to such a port of other servers to a transparent proxy of this host, where it counts, too",
				finding.DescribePorts(covered), t.Place), Remedy: "exclude the port from that rule\nor " + hookContainer})
		}
	}
}

// reportCountedBefore reports what is translated after the hook for containers.
func (d *decider) reportCountedBefore() {
	for i := range d.Rules.Translations {
		t := &d.Rules.Translations[i]
		if ports := d.covered(t.Protocol, t.Ports); len(ports) > 0 && t.Forwards(d.Host) {
			for _, port := range ports {
				d.group("chain "+t.Place.String()).include(port, t.Target)
			}
		}
	}
	for _, u := range d.Rules.Unresolved {
		if ports := d.covered(u.Protocol, u.Ports); u.Stateless && len(ports) > 0 {
			d.noteStateless(u, ports, "this may be before hook container counts", "count where the host forwards: hook: host, and "+onlyNameTarget)
		}
	}
	for _, g := range d.groups {
		d.note(finding.Finding{ID: finding.PortDNAT, Level: finding.OK, Subject: g.by, Message: fmt.Sprintf("%s: published by %s to %s, after being counted",
			finding.DescribePorts(g.ports), g.by, describeAddresses(g.addresses))})
	}
	d.reportOtherNumbers()
	if len(d.groups) > 0 || d.mayPublish() {
		d.reportOffloads(true)
	}
}
