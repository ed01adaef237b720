package shadowsocks

import (
	"fmt"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
)

// Form is what a configuration was recognised as, in words for people.
type Form string

// The forms, after the fields that tell them.
const (
	FormSingle       Form = "server_port"
	FormList         Form = "list of server_port"
	FormPortPassword Form = "port_password"
	FormShadowsocksR Form = "ShadowsocksR"
	FormServers      Form = "servers of shadowsocks-rust"
)

// Config is what a server's configuration says about ports.
type Config struct {
	Path string // of the file; empty after Parse
	Form Form
	// Ports in the order of the file, of port_password in that of the text. A
	// port can be there twice; [accounting.Union] merges.
	Ports []accounting.Port
}

// Parse reads a configuration from memory. hostAddresses are those of this
// host: with local_port in the file, they tell a server from a client. It
// fails with ErrClient, ErrNoPorts, a *SyntaxError or a *ValueError.
func Parse(data []byte, hostAddresses []netip.Addr) (Config, error) {
	var content file
	if err := decode(data, &content); err != nil {
		return Config{}, err
	}
	lists := []serverList{{"servers", content.Servers}, {"shadowsocks", content.Shadowsocks}}
	client, err := content.isClient(lists, hostAddresses)
	if err != nil {
		return Config{}, err
	}
	if client {
		return Config{}, ErrClient
	}
	config, err := content.main()
	if err != nil {
		return Config{}, err
	}
	for _, list := range lists {
		ports, err := list.ports(content.Mode)
		if err != nil {
			return Config{}, err
		}
		if len(ports) > 0 {
			config.Form = FormServers
			config.Ports = append(config.Ports, ports...)
		}
	}
	if len(config.Ports) == 0 {
		return Config{}, ErrNoPorts
	}
	return config, nil
}

// serverList is a list of servers and the name of its field.
type serverList struct {
	place   string
	servers []listed
}

// at returns the i-th server of the list with the other names of its fields
// resolved, and its place.
func (l serverList) at(i int) (server, string) {
	entry := l.servers[i]
	entry.Server = entry.Server.or(entry.Address)
	entry.ServerPort = entry.ServerPort.or(entry.Port)
	return entry.server, fmt.Sprintf("%s[%d].", l.place, i)
}

// ports returns the ports of the servers that are not disabled. Those without
// a mode have that of the whole file.
func (l serverList) ports(mode setting) ([]accounting.Port, error) {
	var ports []accounting.Port
	for i := range l.servers {
		entry, place := l.at(i)
		disabled, err := l.servers[i].Disabled.flag(place + "disabled")
		if err != nil {
			return nil, err
		}
		if disabled {
			continue
		}
		modePlace := place
		if entry.Mode == nil {
			entry.Mode, modePlace = mode, ""
		}
		named, err := entry.ports(place, modePlace)
		if err != nil {
			return nil, err
		}
		if len(named) == 0 {
			return nil, &ValueError{place + "server_port", "missing", "a port number from 1 to 65535"}
		}
		ports = append(ports, named...)
	}
	return ports, nil
}

// main returns what the fields outside of lists of servers say.
func (f *file) main() (Config, error) {
	if len(f.PortPassword.keys) == 0 {
		ports, err := f.ports("", "")
		return Config{Form: f.form(), Ports: ports}, err
	}
	port, err := f.template("", "")
	if err != nil {
		return Config{}, err
	}
	config := Config{Form: f.form(), Ports: make([]accounting.Port, 0, len(f.PortPassword.keys))}
	port.Name = "" // the remark is on all of them
	for _, key := range f.PortPassword.keys {
		if port.Number, err = parsePort("a key of port_password", key); err != nil {
			return Config{}, err
		}
		config.Ports = append(config.Ports, port)
	}
	return config, nil
}

func (f *file) form() Form {
	switch {
	case bool(f.Obfs), f.PortPassword.structured:
		return FormShadowsocksR
	case len(f.PortPassword.keys) > 0:
		return FormPortPassword
	case f.ServerPort != nil && kindOf(f.ServerPort) == "a list":
		return FormList
	}
	return FormSingle
}

// ports returns the ports of one server: those of server_port, unless all of
// its addresses have a port of their own, and these.
func (s *server) ports(place, modePlace string) ([]accounting.Port, error) {
	port, err := s.template(place, modePlace)
	if err != nil {
		return nil, err
	}
	own, bare, err := s.addressPorts(place)
	if err != nil {
		return nil, err
	}
	numbers := own
	if bare {
		items, err := s.ServerPort.items(place + "server_port")
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			number, err := item.port(item.place)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, number)
		}
	}
	ports := make([]accounting.Port, len(numbers))
	for i, number := range numbers {
		port.Number = number
		ports[i] = port
	}
	return ports, nil
}

// addressPorts returns the ports that addresses of the server carry
// themselves, and whether an address carries none, as it is without addresses.
func (s *server) addressPorts(place string) (own []uint16, bare bool, err error) {
	addresses, err := s.addresses(place)
	if err != nil {
		return nil, false, err
	}
	bare = len(addresses) == 0
	for _, address := range addresses {
		if address.port == "" {
			bare = true
			continue
		}
		number, err := parsePort(address.place, address.port)
		if err != nil {
			return nil, false, err
		}
		own = append(own, number)
	}
	return own, bare, nil
}

// template returns what the ports of one server have in common: protocols and
// name.
func (s *server) template(place, modePlace string) (accounting.Port, error) {
	protocols, err := s.protocols(place, modePlace)
	if err != nil {
		return accounting.Port{}, err
	}
	remarks, err := s.Remarks.text(place + "remarks")
	if err != nil {
		return accounting.Port{}, err
	}
	name, err := s.Name.text(place + "name")
	if err != nil {
		return accounting.Port{}, err
	}
	if remarks = portlist.CleanName(remarks); remarks != "" {
		return accounting.Port{Protocols: protocols, Name: remarks}, nil
	}
	return accounting.Port{Protocols: protocols, Name: portlist.CleanName(name)}, nil
}

// protocols returns both, unless the mode says one and no plugin is named. A
// plugin can listen for both, whatever is relayed behind it; and without a
// mode, the same file means TCP to one server and both to another.
func (s *server) protocols(place, modePlace string) (accounting.Protocols, error) {
	mode, err := s.Mode.text(modePlace + "mode")
	if err != nil {
		return 0, err
	}
	plugin, err := s.Plugin.text(place + "plugin")
	if err != nil {
		return 0, err
	}
	switch {
	case plugin == "" && mode == "tcp_only":
		return accounting.OnlyTCP, nil
	case plugin == "" && mode == "udp_only":
		return accounting.OnlyUDP, nil
	}
	return accounting.TCPAndUDP, nil
}

// isClient tells whether the file configures a client: by locals, or by
// local_port where there are servers and none of them can be on this host.
// Servers' configurations have local_port too, being copied from a client's.
func (f *file) isClient(lists []serverList, hostAddresses []netip.Addr) (bool, error) {
	if f.Locals {
		return true, nil
	}
	if !f.LocalPort {
		return false, nil
	}
	addresses, err := f.addresses("")
	if err != nil {
		return false, err
	}
	for _, list := range lists {
		for i := range list.servers {
			entry, place := list.at(i)
			more, err := entry.addresses(place)
			if err != nil {
				return false, err
			}
			addresses = append(addresses, more...)
		}
	}
	here := slices.ContainsFunc(addresses, func(a address) bool { return isLocal(a.host, hostAddresses) })
	return len(addresses) > 0 && !here, nil
}
