package shadowsocks

import (
	"cmp"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

const protocolShadowsocks = "shadowsocks"

// isSingBox recognises sing-box by the type of its inbounds and outbounds.
func isSingBox(root node) bool {
	return anyHas(root, "type", "inbounds", "outbounds") && !anyHas(root, "protocol", "inbounds", "outbounds")
}

// anyHas reports whether an object in one of the lists has the key.
func anyHas(root node, key string, lists ...string) bool {
	return slices.ContainsFunc(lists, func(list string) bool {
		return root.at(list).any(func(entry node) bool { return entry.has(key) })
	})
}

func readSingBox(c *collector, root node) {
	inbounds := root.at("inbounds").objects()
	if c.options.AnyProtocol { // WireGuard's
		inbounds = append(inbounds, root.at("endpoints").objects()...)
	}
	routes := c.newDetours(inbounds, &c.mistakes)
	for _, others := range c.beside() {
		routes.addPart(c, others)
	}
	for _, inbound := range inbounds {
		readSingBoxInbound(c, inbound, routes)
	}
	refuseOutbounds(c, root, "type")
}

// refuseOutbounds refuses a file that has Shadowsocks among the outbounds only.
func refuseOutbounds(c *collector, root node, key string) {
	if len(c.ports) > 0 || c.options.ForceServer {
		return
	}
	if slices.ContainsFunc(root.at("outbounds").objects(), func(outbound node) bool {
		// V2Ray 5 has a protocol shadowsocks2022 as well.
		return strings.HasPrefix(strings.ToLower(outbound.at(key).word()), protocolShadowsocks)
	}) {
		c.refuse("Shadowsocks is among its outbounds only")
	}
}

// maxDetours is far above any chain's length. One that leads back to itself has no end.
const maxDetours = 16

// detours are the inbounds by their tags and ports, and those to which another one hands
// over. Other than with Xray's [frontSearch], each inbound leads to one other at most, and
// that is found by a key: no search through ranges and branches is needed.
type detours struct {
	inbounds map[destination]node
	inner    map[destination]bool
	leads    func(inbound node) []destination
}

// destination is what an inbound hands over to: one of a tag, or a port on this host.
type destination struct {
	tag  string
	port uint16
}

func (c *collector) newDetours(inbounds []node, mistakes *mistakes) detours {
	found := detours{make(map[destination]node), make(map[destination]bool), c.leadsOfSingBox}
	for _, inbound := range inbounds {
		inbound = inbound.with(mistakes)
		_ = inbound.at("detour").text() // it has to be one, whatever it leads to
		for _, key := range destinationsOf(inbound) {
			found.inbounds[key] = inbound
		}
		for _, lead := range found.leads(inbound) {
			found.inner[lead] = true
		}
	}
	return found
}

// destinationsOf returns how others hand over to an inbound.
func destinationsOf(inbound node) (destinations []destination) {
	if tag := inbound.at("tag").text(); tag != "" {
		destinations = append(destinations, destination{tag: tag})
	}
	// What is wrong with a port is reported when its inbound is read.
	if number := inbound.at("listen_port").with(nil).port(); number > 0 {
		destinations = append(destinations, destination{port: number})
	}
	return destinations
}

// leadsOfSingBox returns where an inbound hands over connections: with its detour, where
// Trojan falls back to, and where direct forwards to.
func (c *collector) leadsOfSingBox(inbound node) (leads []destination) {
	if detour := inbound.at("detour").word(); detour != "" {
		return []destination{{tag: detour}}
	}
	add := func(host, port node) {
		number := port.with(nil).port()
		if isName := host.value == nil || host.kind == kindText; isName && number > 0 && c.options.Host.isLocal(host.word()) {
			leads = append(leads, destination{port: number})
		}
	}
	add(inbound.at("override_address"), inbound.at("override_port"))
	fallback := inbound.at("fallback")
	add(fallback.at("server"), fallback.at("server_port"))
	return leads
}

// addPart adds the inbounds in another part of the configuration. The parts of a
// directory may be several configurations, so that a tag means the one in its own file.
func (d detours) addPart(c *collector, inbounds []node) {
	var found mistakes
	own := c.newDetours(inbounds, &found)
	if found.first != nil {
		return // reported when the part is read
	}
	for key, inbound := range own.inbounds {
		if _, found := d.inbounds[key]; !found {
			d.inbounds[key] = inbound
		}
	}
	for key := range own.inner {
		if _, found := own.inbounds[key]; !found {
			d.inner[key] = true
		}
	}
}

// end follows the detours of an inbound, such as that of ShadowTLS, to the first one of
// Shadowsocks, or else to the last. It reports false if they lead nowhere.
func (d detours) end(inbound node) (end node, found bool) {
	for range maxDetours {
		if inbound.at("type").word() == protocolShadowsocks {
			return inbound, true
		}
		leads := d.leads(inbound)
		if len(leads) == 0 {
			return inbound, true
		}
		following, found := d.inbounds[leads[0]]
		if !found {
			return inbound, leads[0].tag == "" // a port may be that of a web server
		}
		inbound = following.with(inbound.mistakes)
	}
	return inbound, false
}

// isInner reports whether clients reach the inbound through another one only.
func (d detours) isInner(inbound node) bool {
	if !slices.ContainsFunc(destinationsOf(inbound), func(to destination) bool { return d.inner[to] }) {
		return false
	}
	listen := inbound.at("listen").text()
	return hasNoPort(inbound) || endpoint.IsLoopback(listen)
}

func hasNoPort(inbound node) bool {
	port := inbound.at("listen_port")
	return port.value == nil || port.is(kindNumber) && port.scalar == "0"
}

// readSingBoxInbound takes the port of an inbound. If that hands over to another one,
// its clients are those of the other.
func readSingBoxInbound(c *collector, inbound node, routes detours) {
	if routes.isInner(inbound) {
		return
	}
	end, found := routes.end(inbound)
	typ := end.at("type").text()
	if hasNoPort(inbound) {
		if typ == protocolShadowsocks {
			c.missing("%s has no listen_port", inbound.place)
		}
		return // a tun interface, for one
	}
	port := inbound.at("listen_port")
	number := port.port()
	if !found {
		c.missing("%s.detour leads nowhere in this file: if it leads to Shadowsocks, name the port with --port", inbound.place)
	}
	if typ != protocolShadowsocks && c.otherInbound(inbound, inbound.at("type").text(), port.scalar) {
		return
	}
	if inbound.has("netns") {
		c.missing("%s listens in another network namespace, whose traffic is not seen here", inbound.place)
		return
	}
	protocols := singBoxProtocols(inbound)
	name, users := readUsers(end, "name", "users", "destinations")
	if typ == protocolShadowsocks && inbound.has("fallback") {
		users = max(1, users) + inbound.at("users").count()
	}
	if end.at("managed").flag(false) {
		c.note("the users of %s are managed at run time and can't be told apart by its counters", end.place)
	}
	c.addUsersOver(protocols, number, users)
	c.add(inbound, number, protocols, name)
}

// What the inbounds of sing-box listen on.
var (
	singBoxUDP = []string{"hysteria", "hysteria2", "tuic", "wireguard"}
	singBoxTCP = []string{"anytls", "http", "mixed", "redirect", "shadowtls", "socks", "trojan", "vless", "vmess"}
)

// singBoxProtocols returns what the inbound listens on.
func singBoxProtocols(inbound node) accounting.Protocols {
	typ, transport := inbound.at("type").text(), inbound.at("transport").at("type").text()
	switch {
	case slices.Contains(singBoxUDP, typ), transport == "quic":
		return accounting.OnlyUDP
	case slices.Contains(singBoxTCP, typ):
		return accounting.OnlyTCP
	}
	return readNetwork(inbound.at("network"), accounting.TCPAndUDP)
}

// readUsers counts the users in the first of the lists that has any, and returns
// the name of the only one, or else the tag.
func readUsers(from node, nameKey string, lists ...string) (name string, users int) {
	for _, key := range lists {
		if entries := from.at(key).objects(); len(entries) > 0 {
			if users = len(entries); users == 1 {
				name = entries[0].at(nameKey).text()
			}
			break
		}
	}
	if name == "" {
		name = from.at("tag").text()
	}
	return name, users
}

// readNetwork reads "tcp", "udp", "tcp,udp" or a list of these.
func readNetwork(network node, fallback accounting.Protocols) (protocols accounting.Protocols) {
	for _, entry := range network.each() {
		for word := range strings.SplitSeq(entry.text(), ",") {
			switch strings.ToLower(strings.TrimSpace(word)) {
			case "tcp":
				protocols |= accounting.OnlyTCP
			case "udp":
				protocols |= accounting.OnlyUDP
			case "":
			default:
				entry.fail("of an unknown kind", "tcp, udp or both")
			}
		}
	}
	return cmp.Or(protocols, fallback)
}
