package shadowsocks

import "ssmonitor/accounting"

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
	for _, service := range services {
		if err := readOutlineService(c, service); err != nil {
			return err
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

func readOutlineService(c *collector, service node) error {
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
		typ, err := listener.at("type").text()
		if err != nil {
			return err
		}
		var protocols accounting.Protocols
		switch typ {
		case "tcp":
			protocols = accounting.OnlyTCP
		case "udp":
			protocols = accounting.OnlyUDP
		case "websocket-stream", "websocket-packet":
			c.missing("%s is behind a web server: name its port with --port to count it", listener.place)
			continue
		default:
			return &ValueError{listener.place + ".type", "of an unknown kind", "tcp, udp, websocket-stream or websocket-packet"}
		}
		number, err := listenPort(listener.at("address"))
		if err != nil {
			return err
		}
		if err := c.add(listener.place, number, protocols, name); err != nil {
			return err
		}
		counted[number] |= protocols
	}
	for number, protocols := range counted {
		c.shareOver(protocols, number, len(keys))
	}
	return nil
}
