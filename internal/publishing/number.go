package publishing

import (
	"fmt"
	"net/netip"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/nft/survey"
)

// renumbering is how what is sent to some ports of this host gets to another number.
type renumbering struct {
	by, subject string
	protocol    accounting.Protocol
	outside     survey.PortRange
	target      netip.AddrPort
	forwarded   bool // to a container, not to a port of this host
}

// reportOtherNumbers reports ports whose server has the number, though clients send to
// another one: what they send there is not counted.
func (d *decider) reportOtherNumbers() {
	for i := range d.Rules.Translations {
		t := &d.Rules.Translations[i]
		if !t.Outgoing(d.Host) {
			d.reportNumber(renumbering{"chain " + t.Place.String(), t.Place.String(), t.Protocol, t.Ports, t.Target, t.Forwards(d.Host)})
		}
	}
	for _, service := range d.Services {
		for _, server := range service.Servers {
			if service.Address.IsValid() {
				d.reportNumber(renumbering{"IPVS", "IPVS", service.Protocol, portsOf(service), server, true})
			}
		}
	}
	d.reportUnseenNumbers()
}

// reportUnseenNumbers reports what only connections show: rules that can't be read, such as
// those of iptables-legacy, lead to a container's port.
func (d *decider) reportUnseenNumbers() {
	if !d.byConnection { // every rule was read
		return
	}
	var ways []*renumbering
	byEndpoint := make(map[endpoint]*renumbering)
	for _, target := range inOrder(d.Redirected) {
		at := endpointOf(target)
		switch w := byEndpoint[at]; {
		case !d.Host.Forwards(target.Address.Addr()) || d.doubts[at] || d.isAnothers(at):
		case w == nil:
			byEndpoint[at] = &renumbering{"a rule that can't be read, as connections show,", target.Address.String(), target.Protocol,
				survey.PortRange{First: target.Port, Last: target.Port}, target.Address, true}
			ways = append(ways, byEndpoint[at])
		default: // the targets are in the order of their ports
			w.outside.Last = target.Port
		}
	}
	for _, w := range ways {
		d.reportNumber(*w)
	}
}

func (d *decider) reportNumber(w renumbering) {
	inside := w.target.Port()
	port, _ := d.ports.Find(inside)
	_, known := d.owner[endpoint{w.protocol, w.target}]
	if known || !port.Protocols.Has(w.protocol) || len(d.covered(w.protocol, w.outside)) > 0 {
		return
	}
	if w.forwarded && d.Listens(w.protocol, inside) { // the container is another server's
		return
	}
	outside := fmt.Sprint("port ", w.outside.First)
	one := w.outside.First == w.outside.Last
	if !one {
		outside = fmt.Sprintf("ports %d-%d", w.outside.First, w.outside.Last)
	}
	where, remedy := w.target.String(), fmt.Sprintf("count it as port %d: %s", inside, addTarget(inside, w.target))
	asOutside := outside + ": " + addPorts(fmt.Sprint(w.outside.First))
	switch containers := !d.Hook.CountsForwarded(); {
	case !w.forwarded && !containers: // counted at input, by its number there
		return
	case !w.forwarded:
		where, remedy = "this host", hookHost
	case containers && one:
		remedy = "count it as " + asOutside
	case containers:
		remedy = hookHost + "\nand " + addTarget(inside, w.target)
	case one:
		remedy += "\nor as " + asOutside
	}
	d.note(finding.Finding{ID: finding.PortPublishedAs, Level: finding.Wrong, Subject: w.subject, Message: fmt.Sprintf(
		"port %d: %s publishes it as %s: what clients send there, to %s, is not counted", inside, w.by, outside, where), Remedy: remedy})
}
