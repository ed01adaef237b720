package store

import (
	"fmt"
	"maps"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// rename changes names in the sources at random, and which ports these have.
func (m *model) rename() {
	var ports accounting.Ports
	renamed := make(map[string][]string)
	for port := uint16(1); port <= modelPorts; port++ {
		m.wanted[port] = m.random.IntN(6) > 0
		if !m.wanted[port] {
			continue
		}
		name := m.sources[port]
		if m.random.IntN(8) == 0 || name == "" {
			name = fmt.Sprintf("client-%d", m.random.IntN(10))
		}
		if _, found := m.owners[port]; !found || m.ended[port] && name != m.sources[port] {
			m.own(port, name)
		} else if name != m.sources[port] {
			if old := m.names[m.owners[port]]; old != name {
				renamed[old] = append(renamed[old], name)
			}
			m.names[m.owners[port]] = name
		}
		m.sources[port], m.ended[port] = name, false
		ports = append(ports, accounting.Port{Number: port, Protocols: accounting.TCPAndUDP, Name: m.sources[port]})
	}
	m.end()
	m.renamePast(renamed)
	for _, port := range m.store.ResolveNames(ports) {
		// If the source has not changed its name, that of HandOver is kept.
		if want := m.names[m.owners[port.Number]]; port.Name != want {
			m.t.Fatalf("port %d: got name %q, want %q", port.Number, port.Name, want)
		}
	}
}

// renamePast gives the past of clients on other ports their new names, if no port has the
// old one.
func (m *model) renamePast(renamed map[string][]string) {
	for old, names := range renamed {
		held := len(slices.Compact(names)) > 1
		for port, owner := range m.owners {
			held = held || !m.ended[port] && m.names[owner] == old
		}
		for tenure, name := range m.names {
			port := m.ports[tenure]
			if held || name != old || m.gone[tenure] || !m.ended[port] && m.names[m.owners[port]] == names[0] {
				continue
			}
			m.names[tenure] = names[0]
			if m.owners[port] == tenure {
				m.sources[port] = names[0]
			}
		}
	}
}

func (m *model) own(port uint16, name string) {
	m.owners[port], m.ended[port] = len(m.names), false
	m.names, m.ports = append(m.names, name), append(m.ports, port)
}

// end ends the ports that no source has.
func (m *model) end() {
	for port := range m.owners {
		m.ended[port] = m.ended[port] || !m.wanted[port]
	}
}

// handOver gives a port to a client.
func (m *model) handOver() {
	port := 1 + uint16(m.random.IntN(modelPorts))
	name := fmt.Sprintf("client-%d", m.random.IntN(10))
	err := m.store.HandOver(port, name, m.clock())
	m.end()
	owner, found := m.owners[port]
	if refused := !found || m.names[owner] == name; (err != nil) != refused {
		m.t.Fatalf("handing port %d to %q: %v", port, name, err)
	}
	if err == nil {
		m.own(port, name)
	}
}

// forget forgets a client, or the ports without a name.
func (m *model) forget() {
	past := usage.Past{Name: fmt.Sprintf("client-%d", m.random.IntN(10)), Last: modelPorts}
	if m.random.IntN(4) == 0 {
		past.Name = ""
	}
	err := m.store.Forget(past)
	m.end()
	counted, known := false, false
	for tenure, name := range m.names {
		if name != past.Name || m.gone[tenure] {
			continue
		}
		port, has := uint16(0), false
		for at, owner := range m.owners {
			if owner == tenure {
				port, has = at, true
			}
		}
		if has && !m.ended[port] {
			counted = true
			continue
		}
		known = true
		if err == nil {
			m.gone[tenure] = true
			if has {
				delete(m.owners, port)
			}
		}
	}
	if refused := past.Name != "" && counted || !known; (err != nil) != refused {
		m.t.Fatalf("forgetting %q: %v", past.Name, err)
	}
}

// compareEarlier expects that what the present client of a port has used, and what others
// did before, is the total.
func (m *model) compareEarlier() {
	want := maps.Clone(m.saved)
	for key, counts := range m.booked {
		if owner, found := m.owners[key.port]; !found || key.tenure != owner || key.period != usage.ByMonth {
			continue
		}
		for direction, count := range counts {
			counter := accounting.Key{Port: key.port, Protocol: key.protocol, Direction: accounting.Direction(direction)}
			want[counter] = want[counter].Minus(count)
		}
	}
	got, err := m.store.Earlier()
	if err != nil {
		m.t.Fatal(err)
	}
	for key, count := range want {
		if got[key] != count {
			m.t.Errorf("%s: earlier clients used %v, want %v", key, got[key], count)
		}
	}
}
