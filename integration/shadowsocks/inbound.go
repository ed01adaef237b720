package shadowsocks

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// inbound is one of Xray or V2Ray, in a file or in the database of a panel.
type inbound struct {
	place    string
	protocol string
	tag      string
	name     string // of the only user, or else the tag
	users    int
	port     node   // a number, or a text with several
	address  string // on which it listens
	socket   string // the unix socket on which it listens
	// protocols are those that it listens on.
	protocols accounting.Protocols
	// leads is where it hands over the connections that are not its own.
	leads []lead
}

// parseInbound reads an inbound. One that is not counted matters only if it hands over
// to one that is, so that a mistake in it does not matter here.
func parseInbound(c *collector, from node) (inbound, error) {
	port := from.at("port")
	var found mistakes
	from = from.with(&found)
	in := inbound{place: from.place, protocol: from.at("protocol").text()}
	if found.first != nil || strings.EqualFold(in.protocol, "tun") { // an interface, which has no port
		return in, found.first
	}
	in.port = port
	whole := in.complete(c, from)
	if found.first != nil && !c.counts(in) {
		return in, nil
	}
	return whole, found.first
}

// complete returns the inbound with all that the object says of it.
func (in inbound) complete(c *collector, from node) inbound {
	settings, stream := from.at("settings"), from.at("streamSettings")
	in.protocols = listensOn(networksOf(in.protocol, settings), stream)
	in.address, in.socket = listenOf(from)
	if isSocket(in.address) {
		in.port = node{} // which the servers ignore
	}
	in.tag = from.at("tag").text()
	in.name, in.users = readUsers(settings, "email", "clients", "users")
	if in.name == "" {
		in.name = cmp.Or(settings.at("email").text(), in.tag)
	}
	in.leads = c.leadsOf(in.protocol, settings)
	return in
}

// counts reports whether the ports of the inbound's protocol are counted.
func (c *collector) counts(in inbound) bool {
	return c.options.AnyProtocol || strings.EqualFold(in.protocol, protocolShadowsocks)
}

// isReplaced reports whether a later part of the configuration has another inbound
// instead.
func (c *collector) isReplaced(in inbound) bool {
	later, replaced := c.part.replaced[in.tag]
	if replaced && c.counts(in) {
		c.missing("%s is not used, since %s has an inbound of the same tag", in.place, filepath.Base(later))
	}
	return replaced
}

// listenOf returns the address on which an inbound listens, and the unix socket if it
// is one, or has one by its transport.
func listenOf(from node) (address, socket string) {
	address = from.at("listen").text()
	if isSocket(address) {
		socket, _, _ = strings.Cut(address, ",") // the mode of the file follows
		return address, socket
	}
	return address, socketOf(from.at("streamSettings"))
}

// socketOf returns the unix socket of a transport, which is "@" where all inbounds and
// outbounds share one, and empty for other transports.
func socketOf(stream node) string {
	if !isSocketTransport(transportOf(stream)) {
		return ""
	}
	settings := stream.at("dsSettings")
	path := settings.at("path")
	if path.value != nil && !path.check(kindText, "a text") {
		return ""
	}
	if abstract := settings.at("abstract"); abstract.is(kindBool) && abstract.scalar == "true" || path.word() == "" {
		return "@" + path.word()
	}
	return path.scalar
}

// isSocket reports whether a text is the path or the name of a unix socket.
func isSocket(text string) bool { return strings.HasPrefix(text, "/") || strings.HasPrefix(text, "@") }

// isInner reports whether only programs of this host can connect to the inbound.
func (in inbound) isInner() bool {
	return in.socket != "" && in.protocols == noProtocols || isSocket(in.address) || endpoint.IsLoopback(in.address)
}

// readInbounds adds the ports on which clients find what is counted. Where an inbound
// hands over to another one, that is the port of the first: the other's is not open to
// clients if it is on the loopback interface or on a unix socket.
func (c *collector) readInbounds(objects []node, root node) {
	inbounds := make([]inbound, len(objects))
	for i, object := range objects {
		var err error
		inbounds[i], err = parseInbound(c, object)
		c.mistakes.add(err)
	}
	inbounds = slices.DeleteFunc(inbounds, c.isReplaced)
	own := len(inbounds)
	for _, others := range c.beside() {
		for _, object := range others {
			if in, err := parseInbound(c, object); err == nil { // else reported when its part is read
				inbounds = append(inbounds, in)
			}
		}
	}
	c.addRoutes(inbounds, root)
	c.addInbounds(inbounds, own)
}

// addInbounds adds the ports of the first inbounds, which are the own ones. The others are
// those in other parts of the configuration.
func (c *collector) addInbounds(inbounds []inbound, own int) {
	behind := c.behind(inbounds)
	isBehind := make(map[int]bool)
	for _, inner := range behind {
		for _, i := range inner {
			isBehind[i] = true
		}
	}
	for i, in := range inbounds[:own] {
		if isBehind[i] && !in.isInner() {
			in.socket = "" // the server before it is known
		}
		switch {
		case isBehind[i] && in.isInner():
		case len(behind[i]) > 0:
			c.addInbound(c.front(in, inbounds, behind[i]))
		case c.counts(in):
			c.addInbound(in)
		case in.port.value != nil && !in.isInner(): // such as an API's, or behind a web server
			c.otherProtocol(in.protocol, shownPorts(in.port))
		}
	}
}

// front returns an inbound as it is counted for those behind it. It has the name of the
// only one, and the users of all.
func (c *collector) front(in inbound, inbounds []inbound, behind []int) inbound {
	only := len(behind) == 1 && (in.users == 0 || !c.counts(in))
	in.name = in.tag
	for _, i := range behind {
		in.users += max(1, inbounds[i].users)
		if only {
			in.name = inbounds[i].name
		}
	}
	return in
}

// addInbound adds the ports of an inbound. One on a unix socket may have a port for UDP.
func (c *collector) addInbound(in inbound) {
	if in.socket != "" {
		c.missing("%s listens on a unix socket: name the port of the server before it with --port", in.place)
	}
	if in.port.value == nil || in.protocols == noProtocols {
		return
	}
	for _, number := range readPorts(c, in.port) {
		c.addUsers(number, in.users)
		c.add(in.port, number, in.protocols, in.name)
	}
}
