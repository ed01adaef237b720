package shadowsocks

import (
	"slices"
	"strings"

	"ssmonitor/accounting"
)

const protocolShadowsocks = "shadowsocks"

// isSingBox recognises sing-box by the type of its inbounds and outbounds.
func isSingBox(root node) bool {
	return anyHas(root, "type", "inbounds", "outbounds") && !anyHas(root, "protocol", "inbounds", "outbounds")
}

// anyHas reports whether an object in one of the lists has the key.
func anyHas(root node, key string, lists ...string) bool {
	for _, list := range lists {
		for _, entry := range root.at(list).onlyObjects() {
			if (node{value: &entry}).has(key) {
				return true
			}
		}
	}
	return false
}

func readSingBox(c *collector, root node) error {
	inbounds, err := root.at("inbounds").objects()
	if err != nil {
		return err
	}
	if c.options.AnyProtocol { // WireGuard's
		endpoints, err := root.at("endpoints").objects()
		if err != nil {
			return err
		}
		inbounds = append(inbounds, endpoints...)
	}
	routes, err := c.newDetours(inbounds)
	if err != nil {
		return err
	}
	for _, others := range c.beside() {
		routes.addPart(c, others)
	}
	for _, inbound := range inbounds {
		if err := readSingBoxInbound(c, inbound, routes); err != nil {
			return err
		}
	}
	return refuseOutbounds(c, root, "type")
}

// refuseOutbounds returns a *ClientError if there is Shadowsocks among the
// outbounds only.
func refuseOutbounds(c *collector, root node, key string) error {
	if len(c.ports) > 0 || c.options.ForceServer {
		return nil
	}
	outbounds, err := root.at("outbounds").objects()
	if err != nil {
		return err
	}
	for _, outbound := range outbounds {
		protocol := outbound.at(key)
		// V2Ray 5 has a protocol shadowsocks2022 as well.
		if protocol.is(kindText) && strings.HasPrefix(strings.ToLower(protocol.scalar), protocolShadowsocks) {
			return &ClientError{Reason: "Shadowsocks is among its outbounds only"}
		}
	}
	return nil
}

// maxDetours is far above any chain's length. One that leads back to itself has no end.
const maxDetours = 16

// detours are the inbounds by their tags and ports, and those to which another one hands
// over.
type detours struct {
	inbounds map[address]node
	inner    map[address]bool
	leads    func(inbound node) []address
}

// address is what an inbound hands over to: one of a tag, or a port on this host.
type address struct {
	tag  string
	port uint16
}

func (c *collector) newDetours(inbounds []node) (detours, error) {
	found := detours{make(map[address]node), make(map[address]bool), c.leadsOfSingBox}
	for _, inbound := range inbounds {
		if _, err := inbound.at("detour").text(); err != nil {
			return detours{}, err
		}
		addresses, err := addressesOf(inbound)
		if err != nil {
			return detours{}, err
		}
		for _, address := range addresses {
			found.inbounds[address] = inbound
		}
		for _, lead := range found.leads(inbound) {
			found.inner[lead] = true
		}
	}
	return found, nil
}

// addressesOf returns how others hand over to an inbound.
func addressesOf(inbound node) (addresses []address, err error) {
	tag, err := inbound.at("tag").text()
	if tag != "" {
		addresses = append(addresses, address{tag: tag})
	}
	// What is wrong with a port is reported when its inbound is read.
	if number, err := inbound.at("listen_port").port(); err == nil {
		addresses = append(addresses, address{port: number})
	}
	return addresses, err
}

// leadsOfSingBox returns where an inbound hands over connections: with its detour, where
// Trojan falls back to, and where direct forwards to.
func (c *collector) leadsOfSingBox(inbound node) (leads []address) {
	if detour := inbound.at("detour"); detour.is(kindText) && detour.scalar != "" {
		return []address{{tag: detour.scalar}}
	}
	add := func(host, port node) {
		name, err := host.text()
		if number, bad := port.port(); err == nil && bad == nil && c.options.Host.isLocal(name) {
			leads = append(leads, address{port: number})
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
	own, err := c.newDetours(inbounds)
	if err != nil {
		return // reported when the part is read
	}
	for address, inbound := range own.inbounds {
		if _, found := d.inbounds[address]; !found {
			d.inbounds[address] = inbound
		}
	}
	for address := range own.inner {
		if _, found := own.inbounds[address]; !found {
			d.inner[address] = true
		}
	}
}

// end follows the detours of an inbound, such as that of ShadowTLS, to the first one of
// Shadowsocks, or else to the last. It reports false if they lead nowhere.
func (d detours) end(inbound node) (end node, found bool) {
	for range maxDetours {
		if typ := inbound.at("type"); typ.is(kindText) && typ.scalar == protocolShadowsocks {
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
		inbound = following
	}
	return inbound, false
}

// isInner reports whether clients reach the inbound through another one only.
func (d detours) isInner(inbound node) (bool, error) {
	addresses, err := addressesOf(inbound)
	if err != nil || !slices.ContainsFunc(addresses, func(a address) bool { return d.inner[a] }) {
		return false, err
	}
	listen, err := inbound.at("listen").text()
	return hasNoPort(inbound) || isLoopback(listen), err
}

func hasNoPort(inbound node) bool {
	port := inbound.at("listen_port")
	return port.value == nil || port.is(kindNumber) && port.scalar == "0"
}

// readSingBoxInbound takes the port of an inbound. If that hands over to another one,
// its clients are those of the other.
func readSingBoxInbound(c *collector, inbound node, routes detours) error {
	inner, err := routes.isInner(inbound)
	if err != nil || inner {
		return err
	}
	end, found := routes.end(inbound)
	typ, err := end.at("type").text()
	if err != nil {
		return err
	}
	if hasNoPort(inbound) {
		if typ == protocolShadowsocks {
			c.missing("%s has no listen_port", inbound.place)
		}
		return nil // a tun interface, for one
	}
	port := inbound.at("listen_port")
	number, err := port.port()
	if err != nil {
		return err
	}
	if !found {
		c.missing("%s.detour leads nowhere in this file: if it leads to Shadowsocks, name the port with --port", inbound.place)
	}
	if typ != protocolShadowsocks {
		own, err := inbound.at("type").text()
		if err != nil {
			return err
		}
		if c.otherInbound(inbound, own, port.scalar) {
			return nil
		}
	}
	if inbound.has("netns") {
		c.missing("%s listens in another network namespace, whose traffic is not seen here", inbound.place)
		return nil
	}
	protocols, err := singBoxProtocols(inbound)
	if err != nil {
		return err
	}
	name, users, err := readUsers(end, "name", "users", "destinations")
	if err != nil {
		return err
	}
	if typ == protocolShadowsocks && inbound.has("fallback") {
		users = max(1, users) + inbound.at("users").count()
	}
	if managed, err := end.at("managed").flag(false); err != nil {
		return err
	} else if managed {
		c.note("the users of %s are managed at run time and can't be told apart by its counters", end.place)
	}
	c.shareOver(protocols, number, users)
	return c.add(inbound.place, number, protocols, name)
}

// What the inbounds of sing-box listen on.
var (
	singBoxUDP = []string{"hysteria", "hysteria2", "tuic", "wireguard"}
	singBoxTCP = []string{"anytls", "http", "mixed", "redirect", "shadowtls", "socks", "trojan", "vless", "vmess"}
)

// singBoxProtocols returns what the inbound listens on.
func singBoxProtocols(inbound node) (accounting.Protocols, error) {
	typ, err := inbound.at("type").text()
	if err != nil {
		return 0, err
	}
	transport, err := inbound.at("transport").at("type").text()
	switch {
	case err != nil:
		return 0, err
	case slices.Contains(singBoxUDP, typ), transport == "quic":
		return accounting.OnlyUDP, nil
	case slices.Contains(singBoxTCP, typ):
		return accounting.OnlyTCP, nil
	}
	return readNetwork(inbound.at("network"), accounting.TCPAndUDP)
}

// readUsers counts the users in the first of the lists that has any, and returns
// the name of the only one, or else the tag.
func readUsers(from node, nameKey string, lists ...string) (name string, users int, err error) {
	for _, key := range lists {
		entries, err := from.at(key).objects()
		if err != nil {
			return "", 0, err
		}
		if len(entries) == 0 {
			continue
		}
		users = len(entries)
		if users == 1 {
			if name, err = entries[0].at(nameKey).text(); err != nil {
				return "", 0, err
			}
		}
		break
	}
	if name == "" {
		name, err = from.at("tag").text()
	}
	return name, users, err
}

// readNetwork reads "tcp", "udp", "tcp,udp" or a list of these.
func readNetwork(network node, fallback accounting.Protocols) (accounting.Protocols, error) {
	entries, err := network.each()
	if err != nil {
		return 0, err
	}
	var protocols accounting.Protocols
	for _, entry := range entries {
		text, err := entry.text()
		if err != nil {
			return 0, err
		}
		for word := range strings.SplitSeq(text, ",") {
			switch strings.ToLower(strings.TrimSpace(word)) {
			case "tcp":
				protocols |= accounting.OnlyTCP
			case "udp":
				protocols |= accounting.OnlyUDP
			case "":
			default:
				return 0, &ValueError{entry.place, "of an unknown kind", "tcp, udp or both"}
			}
		}
	}
	if protocols == 0 {
		return fallback, nil
	}
	return protocols, nil
}
