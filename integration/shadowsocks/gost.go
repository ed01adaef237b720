package shadowsocks

import (
	"slices"
	"strconv"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// isGost2 recognises gost 2 by its nodes.
func isGost2(root node) bool {
	return root.has("ServeNodes") || anyHas(root, "ServeNodes", "Routes")
}

func readGost2(c *collector, root node) {
	chained := false
	for _, from := range append(root.at("Routes").objects(), root) {
		for _, link := range from.at("ServeNodes").list() {
			c.addLink(link, accounting.OnlyTCP)
		}
		chained = chained || isShadowsocksChain(from.at("ChainNodes"))
	}
	c.refuseChains(chained)
}

// isShadowsocksChain reports whether one of the links is of Shadowsocks.
func isShadowsocksChain(links node) bool {
	return links.is(kindList) && slices.ContainsFunc(links.items, func(link value) bool {
		scheme, _, _ := endpoint.CutLink(link.scalar)
		return scheme.IsShadowsocks()
	})
}

// refuseChains refuses a file in which Shadowsocks is only what the services connect to.
func (c *collector) refuseChains(ofShadowsocks bool) {
	if len(c.ports) == 0 && !c.options.ForceServer && ofShadowsocks {
		c.refuse("Shadowsocks is in its chains only")
	}
}

// isGost recognises gost by the handlers of its services.
func isGost(root node) bool {
	return anyHas(root, "handler", "services") || anyHas(root, "addr", "services")
}

// withoutPort are the listeners of gost that open no port of this host.
var withoutPort = newKeySet("unix", "serial", "stdio", "icmp", "icmp6", "rtcp", "rudp")

func readGost(c *collector, root node) {
	for _, service := range root.at("services").objects() {
		readGostService(c, service)
	}
	hasNode := func(hop node) bool {
		return hop.at("nodes").any(func(to node) bool { return isGostShadowsocks(to.at("connector").at("type").word()) })
	}
	c.refuseChains(root.at("hops").any(hasNode) ||
		root.at("chains").any(func(chain node) bool { return chain.at("hops").any(hasNode) }))
}

func isGostShadowsocks(typ string) bool { return typ == "ss" || typ == "ssu" }

func readGostService(c *collector, service node) {
	handler, listener := service.at("handler").at("type").text(), service.at("listener").at("type").text()
	if withoutPort[listener] {
		return
	}
	name := service.at("name").text()
	number := listenPort(service.at("addr"))
	if !isGostShadowsocks(handler) && c.otherProtocol(handler, strconv.Itoa(int(number))) {
		return
	}
	protocols := accounting.OnlyTCP
	if endpoint.IsOverUDP(listener) {
		protocols = accounting.OnlyUDP
	}
	users := service.at("handler").at("metadata").at("users")
	if users.count() == 1 && len(users.members) == 1 {
		name = users.members[0].key
	}
	c.addUsersOver(protocols, number, users.count())
	c.add(service, number, protocols, name)
}
