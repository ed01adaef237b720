package shadowsocks

import "ssmonitor/accounting"

// isGost2 recognises gost 2 by its nodes.
func isGost2(root node) bool {
	return root.has("ServeNodes") || anyHas(root, "ServeNodes", "Routes")
}

func readGost2(c *collector, root node) error {
	routes, err := root.at("Routes").objects()
	if err != nil {
		return err
	}
	for _, from := range append(routes, root) {
		links, err := from.at("ServeNodes").list()
		if err != nil {
			return err
		}
		for _, link := range links {
			if err := c.addLink(link, accounting.OnlyTCP); err != nil {
				return err
			}
		}
	}
	return nil
}

// isGost recognises gost by the handlers of its services.
func isGost(root node) bool {
	return anyHas(root, "handler", "services") || anyHas(root, "addr", "services")
}

var (
	// overUDP are the listeners of gost that carry their traffic in UDP.
	overUDP = newKeySet("udp", "kcp", "quic", "http3", "h3", "wt", "dtls", "redu", "tun", "tap")
	// withoutPort are those that open no port of this host.
	withoutPort = newKeySet("unix", "serial", "stdio", "icmp", "icmp6", "rtcp", "rudp")
)

func readGost(c *collector, root node) error {
	services, err := root.at("services").objects()
	if err != nil {
		return err
	}
	for _, service := range services {
		if err := readGostService(c, service); err != nil {
			return err
		}
	}
	return nil
}

func readGostService(c *collector, service node) error {
	handler, err := service.at("handler").at("type").text()
	if err != nil {
		return err
	}
	listener, err := service.at("listener").at("type").text()
	if err != nil || withoutPort[listener] {
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
		return nil
	}
	protocols := accounting.OnlyTCP
	if overUDP[listener] {
		protocols = accounting.OnlyUDP
	}
	c.shareOver(protocols, number, service.at("handler").at("metadata").at("users").count())
	return c.add(service.place, number, protocols, name)
}
