package checkup

import (
	"fmt"
	"path/filepath"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
)

// Listener is a port at which programs of this host receive.
type Listener struct {
	Port     uint16
	Loopback bool // at loopback addresses only
}

// mostSilent is the most ports that get a finding each.
const mostSilent = 5

// listening finds the ports at which no program of this host receives what clients send:
// they stay at 0. It leaves out those that are handed on, to a container for example.
func (c *Check) listening(ports accounting.Ports, entries []portlist.Entry, rules Rules) []finding.Finding {
	if c.Listeners == nil || c.Hook == "container" { // what that hook counts is for containers
		return nil
	}
	reached, failed := make(map[accounting.Protocol]map[uint16]Listener), accounting.Protocols(0)
	var cause error
	for _, protocol := range [...]accounting.Protocol{accounting.TCP, accounting.UDP} {
		listeners, err := c.Listeners(protocol)
		if err != nil {
			failed, cause = failed|protocolsOf(protocol), err
		}
		reached[protocol] = make(map[uint16]Listener)
		for _, listener := range listeners {
			reached[protocol][listener.Port] = listener
		}
	}
	var unserved, local, unclear accounting.Ports
	for _, port := range ports {
		if rules.HandedOn[port.Number] || port.Published {
			continue
		}
		switch listens, remotely := receives(port, reached); {
		case remotely:
		case port.Protocols&failed != 0:
			unclear = append(unclear, port)
		case listens:
			local = append(local, port)
		default:
			unserved = append(unserved, port)
		}
	}
	findings := append(c.silent(unserved, entries, rules.Doubtful), onLoopback(local)...)
	if len(unclear) > 0 {
		findings = append(findings, finding.Finding{ID: finding.PortNotListening, Level: finding.Unknown, Message: "whether a server listens can't be checked for " + finding.DescribePorts(unclear) + ": " + terminal.Line(cause),
			Remedy: "load the modules (modprobe -a tcp_diag udp_diag, on the host if this is a container)"})
	}
	return findings
}

func protocolsOf(protocol accounting.Protocol) accounting.Protocols {
	if protocol == accounting.UDP {
		return accounting.OnlyUDP
	}
	return accounting.OnlyTCP
}

// receives reports whether a program listens at the port by one of its protocols, which
// may be more than its server speaks, and whether one does where others reach it.
func receives(port accounting.Port, reached map[accounting.Protocol]map[uint16]Listener) (listens, remotely bool) {
	for protocol, listeners := range reached {
		listener, found := listeners[port.Number]
		found = found && port.Protocols.Has(protocol)
		listens, remotely = listens || found, remotely || found && !listener.Loopback
	}
	return listens, remotely
}

func (c *Check) silent(ports accounting.Ports, entries []portlist.Entry, doubtful bool) (findings []finding.Finding) {
	unless := ""
	if doubtful {
		unless = ", unless rules that can't be read hand it on"
	}
	const remedy = "start the server\nor, if the port is left over from an earlier one, %s"
	if len(ports) > mostSilent {
		return []finding.Finding{{ID: finding.PortNotListening, Level: finding.Note, Message: fmt.Sprintf("%s: no program of this host listens there: they stay at 0%s", finding.DescribePorts(ports), unless),
			Remedy: "start the server\nor, if the ports are left over from an earlier one, remove them from where they are named, then ssmonitor setup"}}
	}
	for _, port := range ports {
		var from []string
		for _, entry := range entries {
			if entry.Number == port.Number && len(entry.Sources) > 0 {
				from = entry.Sources
			}
		}
		findings = append(findings, finding.Finding{ID: finding.PortNotListening, Level: finding.Note, Subject: fmt.Sprint(port.Number),
			Message: fmt.Sprintf("%s: no program of this host listens there: it stays at 0%s", finding.DescribePorts([]accounting.Port{port}), unless),
			Remedy:  fmt.Sprintf(remedy, removal(from))})
	}
	return findings
}

// removal returns how to remove a port that the sources name.
func removal(from []string) string {
	var steps []string
	for _, source := range from {
		program, what, ofProcess := sources.OfProcess(source)
		switch {
		case source == sources.Flag:
			steps = append(steps, "name it no more with --port or in config.yaml")
		case !ofProcess:
			steps = append(steps, "remove it from "+source)
		case filepath.IsAbs(what):
			steps = append(steps, "remove it from "+what+", with which "+program+" runs")
		default:
			steps = append(steps, "restart "+program+", which has it, without it")
		}
	}
	if len(steps) == 0 {
		return "ssmonitor setup"
	}
	return strings.Join(steps, " and ") + ", then ssmonitor setup"
}

// onLoopback reports ports that clients reach by way of something else, if at all.
func onLoopback(ports accounting.Ports) []finding.Finding {
	if len(ports) == 0 {
		return nil
	}
	return []finding.Finding{{ID: finding.PortNotListening, Level: finding.Note, Message: finding.DescribePorts(ports) +
		": a server listens there at a loopback address only: clients reach it through a front of this host (nginx, HAProxy, ShadowTLS), or not at all",
		Remedy: "nothing, if there is such a front: what it passes on is counted; else have the server listen at 0.0.0.0 or ::"}}
}
