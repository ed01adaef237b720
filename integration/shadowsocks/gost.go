package shadowsocks

import (
	"slices"
	"strings"

	"ssmonitor/accounting"
)

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
	return c.refuseChains(slices.ContainsFunc(append(routes, root), func(from node) bool {
		return isShadowsocksChain(from.at("ChainNodes"))
	}))
}

// isShadowsocksChain reports whether one of the links is of Shadowsocks.
func isShadowsocksChain(links node) bool {
	return links.is(kindList) && slices.ContainsFunc(links.items, func(link value) bool {
		scheme, _, _ := strings.Cut(link.scalar, "://")
		protocol, _, _ := strings.Cut(scheme, "+")
		return slices.Contains(linkProtocols, protocol)
	})
}

// refuseChains returns a *ClientError if Shadowsocks is what the services connect to only.
func (c *collector) refuseChains(ofShadowsocks bool) error {
	if len(c.ports) > 0 || c.options.ForceServer || !ofShadowsocks {
		return nil
	}
	return &ClientError{Reason: "Shadowsocks is in its chains only"}
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
	hops := append(objectsIn(root.at("chains").onlyObjects(), "hops"), root.at("hops").onlyObjects()...)
	return c.refuseChains(slices.ContainsFunc(objectsIn(hops, "nodes"), func(to value) bool {
		connector := node{value: &to}.at("connector").at("type")
		return connector.is(kindText) && isGostShadowsocks(connector.scalar)
	}))
}

// objectsIn returns the objects in a list of each object.
func objectsIn(objects []value, list string) (found []value) {
	for i := range objects {
		found = append(found, node{value: &objects[i]}.at(list).onlyObjects()...)
	}
	return found
}

func isGostShadowsocks(typ string) bool { return typ == "ss" || typ == "ssu" }

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
	if !isGostShadowsocks(handler) && c.otherProtocol(handler, port) {
		return nil
	}
	protocols := accounting.OnlyTCP
	if overUDP[listener] {
		protocols = accounting.OnlyUDP
	}
	users := service.at("handler").at("metadata").at("users")
	if users.count() == 1 && len(users.members) == 1 {
		name = users.members[0].key
	}
	c.shareOver(protocols, number, users.count())
	return c.add(service.place, number, protocols, name)
}
