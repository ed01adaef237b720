package shadowsocks

import (
	"strings"

	"ssmonitor/accounting"
)

// isOutlineManager recognises shadowbox_config.json, in which the Outline server
// keeps its access keys.
func isOutlineManager(root node) bool { return root.has("accessKeys") }

func readOutlineManager(c *collector, root node) error {
	keys, err := root.at("accessKeys").objects()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		c.missing("there are no access keys yet")
	}
	return readKeys(c, keys, "name")
}

// isOutlineServer recognises the config.yml of outline-ss-server.
func isOutlineServer(root node) bool {
	return anyHas(root, "listeners", "services") || anyHas(root, "keys", "services") || root.has("keys")
}

func readOutlineServer(c *collector, root node) error {
	services, err := root.at("services").objects()
	if err != nil {
		return err
	}
	web, err := webServers(root)
	if err != nil {
		return err
	}
	for _, service := range services {
		if err := readOutlineService(c, service, web); err != nil {
			return err
		}
	}
	for i, port := range c.ports { // services can share a web server
		if users := c.users[port.Number]; max(users[0], users[1]) > 1 {
			c.ports[i].Name = ""
		}
	}
	keys, err := root.at("keys").objects()
	if err != nil {
		return err
	}
	return readKeys(c, keys, "id")
}

// readKeys takes the ports of access keys that have one each. A port has the
// name of its key, unless several keys share it.
func readKeys(c *collector, keys []node, nameKey string) error {
	names := make(map[uint16]string, len(keys))
	var order []node
	for _, key := range keys {
		number, err := key.at("port").port()
		if err != nil {
			return err
		}
		name, err := key.at(nameKey).text()
		if err != nil {
			return err
		}
		c.share(number, 1)
		if _, found := names[number]; found {
			names[number] = ""
			continue
		}
		names[number] = name
		order = append(order, key)
	}
	for _, key := range order {
		number, _ := key.at("port").port() // read above
		if err := c.add(key.place, number, accounting.TCPAndUDP, names[number]); err != nil {
			return err
		}
	}
	return nil
}

func readOutlineService(c *collector, service node, web map[string][]node) error {
	keys, err := service.at("keys").objects()
	if err != nil {
		return err
	}
	name := ""
	if len(keys) == 1 {
		if name, err = keys[0].at("id").text(); err != nil {
			return err
		}
	}
	listeners, err := service.at("listeners").objects()
	if err != nil {
		return err
	}
	counted := make(map[uint16]accounting.Protocols)
	for _, listener := range listeners {
		protocols, addresses, err := listenerAddresses(listener, web)
		if err != nil {
			return err
		}
		if len(addresses) == 0 {
			c.missing("%s is behind a web server: name its port with --port to count it", listener.place)
		}
		for _, address := range addresses {
			number, err := listenPort(address)
			if err != nil {
				return err
			}
			if err := c.add(address.place, number, protocols, name); err != nil {
				return err
			}
			counted[number] |= protocols
		}
	}
	for number, protocols := range counted {
		c.shareOver(protocols, number, len(keys))
	}
	return nil
}

// listenerAddresses returns where a listener of a service is open to clients: nowhere, if
// that is a web server on loopback, behind another one, or one that is not there.
func listenerAddresses(listener node, web map[string][]node) (accounting.Protocols, []node, error) {
	typ, err := listener.at("type").text()
	if err != nil {
		return 0, nil, err
	}
	address := listener.at("address")
	if address.is(kindText) && typ == "direct" { // with the protocol before it, as tcp://[::]:9000
		scheme, rest, _ := strings.Cut(address.scalar, "://")
		typ, address = scheme, node{address.place, &value{kind: kindText, scalar: rest}}
	}
	switch typ {
	case "tcp":
		return accounting.OnlyTCP, []node{address}, nil
	case "udp":
		return accounting.OnlyUDP, []node{address}, nil
	case "websocket-stream", "websocket-packet":
		name, err := listener.at("web_server").text()
		return accounting.OnlyTCP, web[name], err
	}
	return 0, nil, &ValueError{listener.place + ".type", "of an unknown kind", "tcp, udp, websocket-stream or websocket-packet"}
}

// webServers returns where the web servers of a configuration listen, by their names. It
// omits addresses on loopback.
func webServers(root node) (map[string][]node, error) {
	servers, err := root.at("web").at("servers").objects()
	if err != nil {
		return nil, err
	}
	web := make(map[string][]node)
	for _, server := range servers {
		name, err := server.at("id").text()
		if err != nil {
			return nil, err
		}
		addresses, err := server.at("listen").each()
		if err != nil {
			return nil, err
		}
		for _, address := range addresses {
			if host, _ := splitEndpoint(address.scalar); !isLoopback(host) {
				web[name] = append(web[name], address)
			}
		}
	}
	return web, nil
}
