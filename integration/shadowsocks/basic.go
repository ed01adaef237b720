package shadowsocks

import (
	"cmp"
	"fmt"
	"slices"

	"ssmonitor/accounting"
)

// readBasic reads the forms with server_port, port_password or servers:
// shadowsocks-libev, shadowsocks-rust, the Python server and ShadowsocksR.
func readBasic(c *collector, root node) error {
	lists, err := serverLists(root)
	if err != nil {
		return err
	}
	if err := refuseClient(c, root, lists); err != nil {
		return err
	}
	if root.has("obfs") {
		c.form = FormShadowsocksR
	}
	for _, key := range []string{"port_password", "port_key", "port_conf"} { // two are those of OpenMPTCProuter
		if err := readPortPassword(c, root, key); err != nil {
			return err
		}
	}
	if err := readServerPort(c, root); err != nil {
		return err
	}
	if err := readServers(c, root, lists); err != nil {
		return err
	}
	if err := readAdditionalPorts(c, root); err != nil {
		return err
	}
	if len(c.ports) == 0 && root.has("manager_address") {
		c.missing("%s", missingManaged(root))
	}
	return nil
}

// missingManaged returns why a manager's file names no port. Only ss-manager of
// shadowsocks-libev writes a file for each port. ssmanager of shadowsocks-rust, which
// alone has manager_port, does not, unless it is told to run a program for each.
func missingManaged(root node) string {
	const remedy = "name their range, as in --port 20000-20999"
	if root.has("manager_port") {
		return "its ports come and go at run time, and only ssmanager knows them: " + remedy
	}
	return "its ports come and go at run time: name the working directory of ss-manager with --shadowsocks, or, for other managers, " + remedy
}

// serverLists returns the entries of servers and of shadowsocks, which is
// another name of servers.
func serverLists(root node) ([]node, error) {
	servers, err := root.at("servers").objects()
	if err != nil {
		return nil, err
	}
	more, err := root.at("shadowsocks").objects()
	return append(servers, more...), err
}

// readPortPassword takes the keys of port_password, or of another object with ports as
// its keys. ss-manager skips those whose value is not a text; ShadowsocksR also has lists
// and objects, and port_conf has objects.
func readPortPassword(c *collector, root node, key string) error {
	passwords := root.at(key)
	if passwords.value == nil {
		return nil
	}
	if passwords.kind != kindObject {
		return passwords.wrongKind("an object with the ports as its keys")
	}
	template, err := readTemplate(root, root)
	if err != nil {
		return err
	}
	skipped := 0
	for _, entry := range sortedPorts(passwords.members) {
		number, err := parsePort("a key of "+key, entry.key)
		if err != nil {
			return err
		}
		switch entry.value.kind {
		case kindObject, kindList:
			if key == "port_password" {
				c.form = FormShadowsocksR
			}
		case kindText:
		default:
			skipped++
			continue
		}
		if err := c.add(passwords.place, number, template.Protocols, ""); err != nil { // the remark is on all of them
			return err
		}
	}
	if skipped > 0 {
		c.missing("left out, as ss-manager does: %d of %s, since the password is not a text", skipped, key)
	}
	if len(c.ports) > 0 && c.form != FormShadowsocksR && c.form != FormPortConf {
		c.form = FormPortPassword
	}
	return nil
}

// sortedPorts sorts the members by their keys, and returns the last of each key,
// which counts. It makes no copy, since there may be very many.
func sortedPorts(members []member) []member {
	slices.SortStableFunc(members, func(a, b member) int {
		return cmp.Or(len(a.key)-len(b.key), cmp.Compare(a.key, b.key))
	})
	last := members[:0]
	for i, m := range members {
		if i+1 == len(members) || members[i+1].key != m.key {
			last = append(last, m)
		}
	}
	return last
}

// readServerPort takes the ports of the server outside of lists.
func readServerPort(c *collector, root node) error {
	before := len(c.ports)
	if before > 0 && c.form == FormShadowsocksR {
		return nil // port_password takes its place
	}
	if err := readServer(c, root, root, root.at("server"), root.at("server_port")); err != nil {
		return err
	}
	users, _ := usersIn(root)
	for _, port := range c.ports[before:] {
		c.share(port.Number, users)
	}
	switch {
	case len(c.ports) == before || c.form == FormShadowsocksR:
	case before > 0:
		c.note("server_port and port_password are both there, and both are counted: ss-server listens on the one, ss-manager on the others")
	case root.at("server_port").is(kindList):
		c.form = FormList
	default:
		c.form = FormSingle
	}
	return nil
}

// readServers takes the servers of a list, as shadowsocks-rust has it.
func readServers(c *collector, root node, servers []node) error {
	disabled := 0
	for _, server := range servers {
		off, err := server.at("disabled").flag(false)
		if err != nil {
			return err
		}
		if off {
			disabled++
			continue
		}
		before := len(c.ports)
		address, port := server.at("server").or(server.at("address")), server.at("server_port").or(server.at("port"))
		if err := readServer(c, server, root, address, port); err != nil {
			return err
		}
		if len(c.ports) == before {
			return &ValueError{server.place + ".server_port", "missing", "a port number from 1 to 65535"}
		}
		name, users, err := readUsers(server, "name", "users")
		if err != nil {
			return err
		}
		for i := before; i < len(c.ports); i++ {
			c.shareOver(c.ports[i].Protocols, c.ports[i].Number, max(1, users))
			c.ports[i].Name = cmp.Or(c.ports[i].Name, c.cleanName(server.place, name))
		}
		c.form = FormServers
	}
	if disabled > 0 && disabled == len(servers) {
		c.missing("all of its servers are disabled")
	}
	return nil
}

// readServer takes the ports of one server: those of server_port, unless all of
// its addresses have a port of their own, and these.
func readServer(c *collector, server, root, address, port node) error {
	template, err := readTemplate(server, root)
	if err != nil {
		return err
	}
	endpoints, err := endpoints(address)
	if err != nil {
		return err
	}
	bare := len(endpoints) == 0
	for _, endpoint := range endpoints {
		if endpoint.port == "" {
			bare = true
			continue
		}
		number, err := parsePort(endpoint.place, endpoint.port)
		if err != nil {
			return err
		}
		if err := c.add(endpoint.place, number, template.Protocols, template.Name); err != nil {
			return err
		}
	}
	if !bare {
		return nil
	}
	ports, err := port.each()
	if err != nil {
		return err
	}
	for _, port := range ports {
		number, err := port.port()
		if err != nil {
			return err
		}
		if err := c.add(port.place, number, template.Protocols, template.Name); err != nil {
			return err
		}
	}
	return nil
}

// readTemplate returns what the ports of one server have in common: protocols
// and name. A server without a mode has that of the whole file.
func readTemplate(server, root node) (accounting.Port, error) {
	protocols, err := readMode(server.at("mode").or(root.at("mode")), server.at("plugin"))
	if err != nil {
		return accounting.Port{}, err
	}
	name := ""
	for _, key := range []string{"name", "remarks"} {
		text, err := server.at(key).text()
		if err != nil {
			return accounting.Port{}, err
		}
		if name == "" || accounting.CleanName(text) != "" {
			name = text // the collector cleans it
		}
	}
	return accounting.Port{Protocols: protocols, Name: name}, nil
}

// readMode returns both protocols, unless the mode says one and no plugin is
// named. A plugin can listen for both, whatever is relayed behind it. Without a
// mode, the same file means TCP to one server and both to another.
func readMode(mode, plugin node) (accounting.Protocols, error) {
	word, err := mode.text()
	if err != nil {
		return 0, err
	}
	program, err := plugin.text()
	if err != nil {
		return 0, err
	}
	switch {
	case program == "" && word == "tcp_only":
		return accounting.OnlyTCP, nil
	case program == "" && word == "udp_only":
		return accounting.OnlyUDP, nil
	}
	return accounting.TCPAndUDP, nil
}

// clientProtocols are what shadowsocks-rust's client speaks on its local port;
// ShadowsocksR uses the key for something else.
var clientProtocols = newKeySet("socks", "http", "tunnel", "redir", "dns", "tun", "fake-dns")

// refuseClient returns a *ClientError if the file configures a client. Servers'
// configurations have local_port too, being copied from a client's.
func refuseClient(c *collector, root node, servers []node) error {
	locals, err := root.at("locals").list()
	if err != nil || c.options.ForceServer {
		return err
	}
	addresses := []node{root.at("server")}
	for _, server := range servers {
		addresses = append(addresses, server.at("server").or(server.at("address")))
	}
	protocol, listens := root.at("protocol"), c.anyListens(addresses) // then ssserver and sslocal share the file
	for _, sign := range []struct {
		found  bool
		reason string
	}{
		{!listens && len(locals) > 0, "it has locals"},
		{root.has("online_config"), "it has online_config"},
		{!listens && root.has("tun_interface_name", "tun_interface_address"), "it has a tun interface"},
		{!listens && root.has("forward_address"), "it has forward_address"},
		{!listens && protocol.is(kindText) && clientProtocols[protocol.scalar], "its protocol is one that a client speaks on its local port"},
		{root.has("version") && len(servers) > 0, "it is a list of servers for clients (SIP008), by its version"},
	} {
		if sign.found {
			return &ClientError{Reason: sign.reason}
		}
	}
	if root.has("manager_address", "port_password", "port_key", "port_conf") {
		return nil // only a server's has them
	}
	isServer := slices.ContainsFunc(append(servers, root), hasPluginOfServer)
	return refuseRemote(c, addresses, root.has("local_port") && !isServer)
}

// anyListens reports whether any address is one on which only a server can be: a wildcard,
// or one of this host's own.
func (c *collector) anyListens(addresses []node) bool {
	return slices.ContainsFunc(addresses, func(address node) bool {
		endpoints, err := endpoints(address)
		return err == nil && slices.ContainsFunc(endpoints, func(e endpoint) bool {
			return e.host != "" && !isLoopback(e.host) && c.options.Host.isLocal(e.host)
		})
	})
}

// refuseRemote returns a *ClientError if no server at the addresses can be on
// this host.
func refuseRemote(c *collector, addresses []node, hasLocalPort bool) error {
	var remote, unknown, loopback string
	for _, address := range addresses {
		endpoints, err := endpoints(address)
		if err != nil {
			return err
		}
		for _, endpoint := range endpoints {
			switch host := endpoint.host; {
			case isLoopback(host) && address.is(kindList):
				return nil // Debian's own; a client is behind one such address at most
			case isLoopback(host):
				loopback = endpoint.place
			case c.options.Host.isLocal(host):
				return nil
			case isAddress(host):
				remote = endpoint.place
			default:
				unknown = endpoint.place
			}
		}
	}
	switch {
	case loopback != "" && hasLocalPort:
		return &ClientError{Reason: fmt.Sprintf("%s is a loopback address, and it has local_port", loopback), ByAddress: true}
	case loopback != "":
		return nil
	case hasLocalPort && remote+unknown != "":
		return &ClientError{Reason: fmt.Sprintf("%s is not this host, and it has local_port", cmp.Or(remote, unknown)), ByAddress: true}
	case unknown != "":
		c.note("taken for a server's, though the name in %s is not known here: nothing in it is a client's", unknown)
	case remote != "":
		return &ClientError{Reason: fmt.Sprintf("%s is not an address of this host", remote), ByAddress: true}
	}
	return nil
}
