package checkup

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
)

// mostSilent is the most ports that get a finding each.
const mostSilent = 5

// listeners are the ports at which programs of this host listen by one protocol.
type listeners struct {
	protocols accounting.Protocols
	remotely  map[uint16]bool // whether at other addresses than loopback ones, too
	err       error           // why they are not known, or nil
}

func (m *Machine) listeners(protocols accounting.Protocols) listeners {
	sockets, err := m.Listeners(protocols)
	remotely := make(map[uint16]bool)
	for _, s := range sockets {
		remotely[s.Port] = remotely[s.Port] || !s.Address.IsLoopback()
	}
	return listeners{protocols, remotely, err}
}

// checkListeners finds the ports at which no program of this host receives what clients
// send: they stay at 0. It leaves out those that are handed on, to a container for example.
func (c *checker) checkListeners() {
	if c.Machine.Listeners == nil || !c.Settings.Hook.CountsForwarded() { // what that hook counts is for containers
		return
	}
	servers := []listeners{c.Machine.listeners(accounting.OnlyTCP), c.Machine.listeners(accounting.OnlyUDP)}
	var unserved, local, unclear accounting.Ports
	for _, port := range c.ports {
		if c.rules.handedOn[port.Number] || port.Published {
			continue
		}
		// A program may listen by one of the protocols alone.
		var listens, remotely, unknown bool
		for _, s := range servers {
			if port.Protocols&s.protocols != 0 {
				reachable, found := s.remotely[port.Number]
				listens, remotely = listens || found, remotely || reachable
				unknown = unknown || s.err != nil
			}
		}
		switch {
		case remotely:
		case unknown:
			unclear = append(unclear, port)
		case listens:
			local = append(local, port)
		default:
			unserved = append(unserved, port)
		}
	}
	c.addUnserved(unserved)
	if len(local) > 0 { // clients reach them by way of something else, if at all
		c.add(finding.Finding{ID: finding.PortNotListening, Level: finding.Note, Message: finding.DescribePorts(local) +
			": a server listens there at a loopback address only: clients reach it through a front of this host (nginx, HAProxy, ShadowTLS), or not at all",
			Remedy: "nothing, if there is such a front: what it passes on is counted; else have the server listen at 0.0.0.0 or ::"})
	}
	if len(unclear) > 0 {
		c.add(finding.Finding{ID: finding.PortNotListening, Level: finding.Unknown,
			Message: "whether a server listens can't be checked for " + finding.DescribePorts(unclear) + ": " + terminal.Line(cmp.Or(servers[1].err, servers[0].err)),
			Remedy:  "load the modules (modprobe -a tcp_diag udp_diag, on the host if this is a container)"})
	}
}

func (c *checker) addUnserved(ports accounting.Ports) {
	unless := ""
	if c.rules.doubtful {
		unless = ", unless rules that can't be read hand it on"
	}
	if len(ports) > mostSilent {
		c.add(finding.Finding{ID: finding.PortNotListening, Level: finding.Note,
			Message: fmt.Sprintf("%s: no program of this host listens there: they stay at 0%s", finding.DescribePorts(ports), unless),
			Remedy:  "start the server\nor, if the ports are left over from an earlier one, remove them from where they are named, then ssmonitor setup"})
		return
	}
	for _, port := range ports {
		var from []string
		for _, entry := range c.entries {
			if entry.Number == port.Number && len(entry.Sources) > 0 {
				from = entry.Sources
			}
		}
		c.add(finding.Finding{ID: finding.PortNotListening, Level: finding.Note, Subject: fmt.Sprint(port.Number),
			Message: fmt.Sprintf("%s: no program of this host listens there: it stays at 0%s", finding.DescribePorts([]accounting.Port{port}), unless),
			Remedy:  "start the server\nor, if the port is left over from an earlier one, " + removal(from)})
	}
}

// removal returns how to remove a port that the sources name.
func removal(from []string) string {
	var steps []string
	for _, source := range from {
		program, what, ofProcess := sources.OfProcess(source)
		switch {
		case source == sources.Flag:
			steps = append(steps, "name it no more with --port")
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
