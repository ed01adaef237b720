package shadowsocks

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// readBasic reads the forms with server_port, port_password or servers:
// shadowsocks-libev, shadowsocks-rust, the Python server and ShadowsocksR.
func readBasic(c *collector, root node) {
	lists := append(root.at("servers").objects(), root.at("shadowsocks").objects()...) // another name of servers
	c.refuseClient(root, lists)
	if c.mistakes.first != nil {
		return
	}
	if root.has("obfs") {
		c.form = formShadowsocksR
	}
	for _, key := range []string{"port_password", "port_key", "port_conf"} { // two are those of OpenMPTCProuter
		readPortPassword(c, root, key)
	}
	readServerPort(c, root)
	readServers(c, root, lists)
	readAdditionalPorts(c, root)
	if len(c.ports) == 0 && root.has("manager_address") {
		c.missing("%s", missingManaged(root))
	}
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

// readPortPassword takes the keys of port_password, or of another object with ports as
// its keys. ss-manager skips those whose value is not a text; ShadowsocksR also has lists
// and objects, and port_conf has objects.
func readPortPassword(c *collector, root node, key string) {
	passwords := root.at(key)
	if !passwords.check(kindObject, expectedPorts) {
		return
	}
	protocols, _ := readTemplate(root, root) // the remark is on all of them
	skipped := 0
	for number, password := range keyedPorts(passwords) {
		switch password.kind {
		case kindObject, kindList:
			if key == "port_password" {
				c.form = formShadowsocksR
			}
		case kindText:
		default:
			skipped++
			continue
		}
		c.add(passwords, number, protocols, "")
	}
	if skipped > 0 {
		c.missing("left out, as ss-manager does: %d of %s, since the password is not a text", skipped, key)
	}
	if len(c.ports) > 0 && c.form != formShadowsocksR && c.form != formPortConf {
		c.form = formPortPassword
	}
}

const expectedPorts = "an object with the ports as its keys"

// keyedPorts visits the values of an object whose keys are ports, sorted by these. The last
// one of a key counts. It makes no copy, since there may be very many.
func keyedPorts(object node) iter.Seq2[uint16, value] {
	return func(yield func(uint16, value) bool) {
		if !object.check(kindObject, expectedPorts) {
			return
		}
		members, key := object.members, node{place: "a key of " + object.place, mistakes: object.mistakes}
		slices.SortStableFunc(members, func(a, b member) int {
			return cmp.Or(len(a.key)-len(b.key), cmp.Compare(a.key, b.key))
		})
		for i, m := range members {
			if i+1 < len(members) && members[i+1].key == m.key {
				continue
			}
			if number := key.portIn(m.key); number > 0 && !yield(number, m.value) {
				return
			}
		}
	}
}

// readServerPort takes the ports of the server outside of lists.
func readServerPort(c *collector, root node) {
	before := len(c.ports)
	if before > 0 && c.form == formShadowsocksR {
		return // port_password takes its place
	}
	readServer(c, root, root, root.at("server"), root.at("server_port"))
	users, _ := usersIn(root)
	for _, port := range c.ports[before:] {
		c.addUsers(port.Number, users)
	}
	switch {
	case len(c.ports) == before || c.form == formShadowsocksR:
	case before > 0:
		c.note("server_port and port_password are both there, and both are counted: ss-server listens on the one, ss-manager on the others")
	case root.at("server_port").is(kindList):
		c.form = formList
	default:
		c.form = formSingle
	}
}

// readServers takes the servers of a list, as shadowsocks-rust has it.
func readServers(c *collector, root node, servers []node) {
	disabled := 0
	for _, server := range servers {
		if server.at("disabled").flag(false) {
			disabled++
			continue
		}
		before := len(c.ports)
		readServer(c, server, root, server.at("server").or(server.at("address")), server.at("server_port").or(server.at("port")))
		if len(c.ports) == before {
			server.at("server_port").fail("missing", "a port number from 1 to 65535")
		}
		name, users := readUsers(server, "name", "users")
		for i := before; i < len(c.ports); i++ {
			c.addUsersOver(c.ports[i].Protocols, c.ports[i].Number, max(1, users))
			c.ports[i].Name = cmp.Or(c.ports[i].Name, c.cleanName(server.place, name))
		}
		c.form = formServers
	}
	if disabled > 0 && disabled == len(servers) {
		c.missing("all of its servers are disabled")
	}
}

// readServer takes the ports of one server: those of server_port, unless all of
// its addresses have a port of their own, and these.
func readServer(c *collector, server, root, address, port node) {
	protocols, name := readTemplate(server, root)
	addresses := addressesIn(address)
	bare := len(addresses) == 0
	for _, address := range addresses {
		if address.port == "" {
			bare = true
			continue
		}
		c.add(address.at, address.at.portIn(address.port), protocols, name)
	}
	if !bare {
		return
	}
	for _, port := range port.each() {
		c.add(port, port.port(), protocols, name)
	}
}

// readTemplate returns what the ports of one server have in common. A server without a
// mode has that of the whole file.
func readTemplate(server, root node) (protocols accounting.Protocols, name string) {
	protocols = readMode(server.at("mode").or(root.at("mode")), server.at("plugin"))
	for _, key := range []string{"name", "remarks"} {
		text := server.at(key).text()
		if name == "" || accounting.CleanName(text) != "" {
			name = text // the collector cleans it
		}
	}
	return protocols, name
}

// readMode returns both protocols, unless the mode says one and no plugin is
// named. A plugin can listen for both, whatever is relayed behind it. Without a
// mode, the same file means TCP to one server and both to another.
func readMode(mode, plugin node) accounting.Protocols {
	word, program := mode.text(), plugin.text()
	switch {
	case program == "" && word == "tcp_only":
		return accounting.OnlyTCP
	case program == "" && word == "udp_only":
		return accounting.OnlyUDP
	}
	return accounting.TCPAndUDP
}

// clientProtocols are what shadowsocks-rust's client speaks on its local port;
// ShadowsocksR uses the key for something else.
var clientProtocols = newKeySet("socks", "http", "tunnel", "redir", "dns", "tun", "fake-dns")

// refuseClient refuses a file that configures a client. Servers' configurations have
// local_port too, being copied from a client's.
func (c *collector) refuseClient(root node, servers []node) {
	locals := root.at("locals").list()
	if c.options.ForceServer {
		return
	}
	addresses := []node{root.at("server")}
	for _, server := range servers {
		addresses = append(addresses, server.at("server").or(server.at("address")))
	}
	listens := slices.ContainsFunc(addresses, c.listensAt) // then ssserver and sslocal share the file
	for _, sign := range []struct {
		found  bool
		reason string
	}{
		{!listens && len(locals) > 0, "it has locals"},
		{root.has("online_config"), "it has online_config"},
		{!listens && root.has("tun_interface_name", "tun_interface_address"), "it has a tun interface"},
		{!listens && root.has("forward_address"), "it has forward_address"},
		{!listens && clientProtocols[root.at("protocol").word()], "its protocol is one that a client speaks on its local port"},
		{root.has("version") && len(servers) > 0, "it is a list of servers for clients (SIP008), by its version"},
	} {
		if sign.found {
			c.refuse(sign.reason)
			return
		}
	}
	if root.has("manager_address", "port_password", "port_key", "port_conf") {
		return // only a server's has them
	}
	isServer := slices.ContainsFunc(append(servers, root), hasPluginOfServer)
	c.refuseRemote(addresses, root.has("local_port") && !isServer)
}

// listensAt reports whether an address is one on which only a server can be: a wildcard,
// or one of this host's own.
func (c *collector) listensAt(address node) bool {
	return slices.ContainsFunc(addressesIn(address.with(nil)), func(a serverAddress) bool {
		return a.host != "" && !endpoint.IsLoopback(a.host) && c.options.Host.isLocal(a.host)
	})
}

// refuseRemote refuses a file if no server at the addresses can be on this host.
func (c *collector) refuseRemote(addresses []node, hasLocalPort bool) {
	var remote, unknown, loopback string
	for _, server := range addresses {
		for _, address := range addressesIn(server) {
			switch host := address.host; {
			case endpoint.IsLoopback(host) && server.is(kindList):
				return // Debian's own; a client is behind one such address at most
			case endpoint.IsLoopback(host):
				loopback = address.at.place
			case c.options.Host.isLocal(host):
				return
			case endpoint.IsAddress(host):
				remote = address.at.place
			default:
				unknown = address.at.place
			}
		}
	}
	refuse := func(format, place string) {
		c.mistakes.add(&ClientError{Reason: fmt.Sprintf(format, place), ByAddress: true})
	}
	switch {
	case loopback != "" && hasLocalPort:
		refuse("%s is a loopback address, and it has local_port", loopback)
	case loopback != "":
	case hasLocalPort && remote+unknown != "":
		refuse("%s is not this host, and it has local_port", cmp.Or(remote, unknown))
	case unknown != "":
		c.note("taken for a server's, though the name in %s is not known here: nothing in it is a client's", unknown)
	case remote != "":
		refuse("%s is not an address of this host", remote)
	}
}
