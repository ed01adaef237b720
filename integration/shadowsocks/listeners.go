package shadowsocks

import (
	"strings"

	"ssmonitor/accounting"
)

// isShadowsocksGo recognises shadowsocks-go by how its servers listen, and a
// client's configuration by its clients.
func isShadowsocksGo(root node) bool {
	for _, key := range []string{"tcpListeners", "udpListeners", "enableTCP", "enableUDP", "listen"} {
		if anyHas(root, key, "servers") {
			return true
		}
	}
	return anyHas(root, "protocol", "clients")
}

func readShadowsocksGo(c *collector, root node) error {
	servers, err := root.at("servers").objects()
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := readShadowsocksGoServer(c, server); err != nil {
			return err
		}
	}
	if len(c.ports) > 0 || c.options.ForceServer {
		return nil
	}
	clients, err := root.at("clients").objects()
	if err != nil {
		return err
	}
	for _, client := range clients {
		if protocol, err := client.at("protocol").text(); err == nil && isShadowsocksGoProtocol(protocol) {
			return &ClientError{Reason: "Shadowsocks is among its clients only"}
		}
	}
	return nil
}

func isShadowsocksGoProtocol(protocol string) bool {
	return strings.HasPrefix(protocol, "2022-blake3-") || protocol == "none" || protocol == "plain"
}

func readShadowsocksGoServer(c *collector, server node) error {
	protocol, err := server.at("protocol").text()
	if err != nil {
		return err
	}
	name, err := server.at("name").text()
	if err != nil {
		return err
	}
	severalUsers := false
	for _, listeners := range []struct {
		list, flag string
		protocols  accounting.Protocols
	}{
		{"tcpListeners", "enableTCP", accounting.OnlyTCP},
		{"udpListeners", "enableUDP", accounting.OnlyUDP},
	} {
		addresses, err := listenAddresses(server, listeners.list, listeners.flag)
		if err != nil {
			return err
		}
		for _, address := range addresses {
			number, err := listenPort(address)
			if err != nil {
				return err
			}
			_, port := splitEndpoint(address.scalar)
			if !isShadowsocksGoProtocol(protocol) && c.otherProtocol(protocol, port) {
				continue
			}
			severalUsers = server.has("uPSKs", "uPSKStorePath")
			if err := c.add(address.place, number, listeners.protocols, name); err != nil {
				return err
			}
		}
	}
	if severalUsers {
		c.note("the users of %s share its port and can't be told apart by its counters", server.place)
	}
	return nil
}

// listenAddresses returns the addresses in the list, and that of listen if the
// flag is set, as older versions have it.
func listenAddresses(server node, list, flag string) ([]node, error) {
	listeners, err := server.at(list).objects()
	if err != nil {
		return nil, err
	}
	var addresses []node
	for _, listener := range listeners {
		if network, err := listener.at("network").text(); err != nil {
			return nil, err
		} else if strings.HasPrefix(network, "unix") {
			continue
		}
		addresses = append(addresses, listener.at("address"))
	}
	enabled, err := server.at(flag).flag(false)
	if enabled {
		addresses = append(addresses, server.at("listen"))
	}
	return addresses, err
}

// isGost recognises gost by the handlers of its services; version 2 has nodes.
func isGost(root node) bool {
	return anyHas(root, "handler", "services") || anyHas(root, "addr", "services") || root.has("ServeNodes")
}

// overUDP are the listeners of gost that carry their traffic in UDP.
var overUDP = newKeySet("udp", "kcp", "quic", "http3", "h3", "wt", "dtls", "rudp")

func readGost(c *collector, root node) error {
	if root.has("ServeNodes") {
		c.missing("the nodes of gost 2 hold passwords and are not read: name the ports with --port")
	}
	services, err := root.at("services").objects()
	if err != nil {
		return err
	}
	for _, service := range services {
		handler, err := service.at("handler").at("type").text()
		if err != nil {
			return err
		}
		listener, err := service.at("listener").at("type").text()
		if err != nil {
			return err
		}
		name, err := service.at("name").text()
		if err != nil {
			return err
		}
		number, err := listenPort(service.at("addr"))
		if err != nil {
			return err
		}
		_, port := splitEndpoint(service.at("addr").scalar)
		if handler != "ss" && handler != "ssu" && c.otherProtocol(handler, port) {
			continue
		}
		protocols := accounting.OnlyTCP
		if overUDP[listener] {
			protocols = accounting.OnlyUDP
		}
		if err := c.add(service.place, number, protocols, name); err != nil {
			return err
		}
	}
	return nil
}

// isMihomo recognises mihomo, also called Clash.Meta, by its listeners and
// proxies.
func isMihomo(root node) bool { return root.has("listeners", "proxies", "ss-config") }

func readMihomo(c *collector, root node) error {
	listeners, err := root.at("listeners").objects()
	if err != nil {
		return err
	}
	for _, listener := range listeners {
		if err := readMihomoListener(c, listener); err != nil {
			return err
		}
	}
	if root.has("ss-config") {
		c.missing("ss-config holds a password and is not read: name its port with --port")
	} else if len(c.ports) == 0 && root.has("proxies") && !c.options.ForceServer {
		return &ClientError{Reason: "it has proxies, and no listener of Shadowsocks"}
	}
	return nil
}

func readMihomoListener(c *collector, listener node) error {
	typ, err := listener.at("type").text()
	if err != nil {
		return err
	}
	port := listener.at("port")
	if port.value == nil {
		return nil // a tun interface, for one
	}
	if typ != protocolShadowsocks && c.otherProtocol(typ, shownPorts(port)) {
		return nil
	}
	numbers, err := readPorts(c, port)
	if err != nil {
		return err
	}
	udp, err := listener.at("udp").flag(true)
	if err != nil {
		return err
	}
	protocols := accounting.TCPAndUDP
	if !udp && typ == protocolShadowsocks {
		protocols = accounting.OnlyTCP
	}
	name, err := listener.at("name").text()
	if err != nil {
		return err
	}
	for _, number := range numbers {
		if err := c.add(port.place, number, protocols, name); err != nil {
			return err
		}
	}
	return nil
}
