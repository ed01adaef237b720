package shadowsocks

import (
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// readOutlineManager reads shadowbox_config.json, in which the Outline server keeps its
// access keys.
func readOutlineManager(c *collector, root node) {
	keys := root.at("accessKeys").objects()
	if len(keys) == 0 {
		c.missing("there are no access keys yet")
	}
	readKeys(c, keys, "name")
}

// isOutlineServer recognises the config.yml of outline-ss-server.
func isOutlineServer(root node) bool {
	return anyHas(root, "listeners", "services") || anyHas(root, "keys", "services") || root.has("keys")
}

func readOutlineServer(c *collector, root node) {
	services, web := root.at("services").objects(), webServers(root)
	for _, service := range services {
		readOutlineService(c, service, web)
	}
	for i, port := range c.ports { // services can share a web server
		if users := c.users[port.Number]; max(users[0], users[1]) > 1 {
			c.ports[i].Name = ""
		}
	}
	readKeys(c, root.at("keys").objects(), "id")
}

// readKeys takes the ports of access keys that have one each. A port has the
// name of its key, unless several keys share it.
func readKeys(c *collector, keys []node, nameKey string) {
	names := make(map[uint16]string, len(keys))
	var first []node // with each port
	for _, key := range keys {
		number, name := key.at("port").port(), key.at(nameKey).text()
		c.addUsers(number, 1)
		if _, found := names[number]; found {
			name = ""
		} else {
			first = append(first, key)
		}
		names[number] = name
	}
	for _, key := range first {
		number := key.at("port").port()
		c.add(key, number, accounting.TCPAndUDP, names[number])
	}
}

func readOutlineService(c *collector, service node, web map[string][]node) {
	keys := service.at("keys").objects()
	name := ""
	if len(keys) == 1 {
		name = keys[0].at("id").text()
	}
	counted := make(map[uint16]accounting.Protocols)
	for _, listener := range service.at("listeners").objects() {
		protocols, addresses := listenerAddresses(listener, web)
		if len(addresses) == 0 {
			c.missing("%s is behind a web server: name its port with --port to count it", listener.place)
		}
		for _, address := range addresses {
			number := listenPort(address)
			c.add(address, number, protocols, name)
			counted[number] |= protocols
		}
	}
	for number, protocols := range counted {
		c.addUsersOver(protocols, number, len(keys))
	}
}

// listenerAddresses returns where a listener of a service is open to clients: nowhere, if
// that is a web server on loopback, behind another one, or one that is not there.
func listenerAddresses(listener node, web map[string][]node) (accounting.Protocols, []node) {
	typ, address := listener.at("type").text(), listener.at("address")
	if address.is(kindText) && typ == "direct" { // with the protocol before it, as tcp://[::]:9000
		scheme, rest, _ := strings.Cut(address.scalar, "://")
		typ, address.value = scheme, &value{kind: kindText, scalar: rest}
	}
	switch typ {
	case "tcp":
		return accounting.OnlyTCP, []node{address}
	case "udp":
		return accounting.OnlyUDP, []node{address}
	case "websocket-stream", "websocket-packet":
		return accounting.OnlyTCP, web[listener.at("web_server").text()]
	}
	listener.at("type").fail("of an unknown kind", "tcp, udp, websocket-stream or websocket-packet")
	return 0, nil
}

// webServers returns where the web servers of a configuration listen, by their names. It
// omits addresses on loopback.
func webServers(root node) map[string][]node {
	web := make(map[string][]node)
	for _, server := range root.at("web").at("servers").objects() {
		name := server.at("id").text()
		for _, address := range server.at("listen").each() {
			if host, _ := endpoint.Split(address.scalar); !endpoint.IsLoopback(host) {
				web[name] = append(web[name], address)
			}
		}
	}
	return web
}
