package shadowsocks

import (
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// reduceLink returns the scheme and the port of a link for servers, such as
// ss://method:password@:8388?mode=fast. Nothing else of it is kept: there is a password
// in it. It returns the scheme alone where it is not certain what the port is, and a scheme that
// is not known as another.
func reduceLink(text string) string {
	if text == "" {
		return ""
	}
	scheme, rest, _ := endpoint.CutLink(text)
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	reduced := scheme.Protocol
	if !scheme.IsShadowsocks() && !slices.Contains(otherProtocols, reduced) {
		reduced = "another"
	}
	if endpoint.IsOverUDP(scheme.Transport) {
		reduced += "+udp"
	} else if scheme.Transport != "" {
		reduced += "+tcp"
	}
	host, port := endpoint.Split(rest)
	if _, err := accounting.ParsePort(port); err != nil || host != "" && !endpoint.IsLoopback(host) && !endpoint.IsAddress(host) {
		return reduced + "://"
	}
	return strings.Clone(reduced + "://:" + port)
}

// addLink takes the port of a link, as reduceLink has left it. Where the link does not
// say otherwise, the server listens for the protocols that are given.
func (c *collector) addLink(link node, protocols accounting.Protocols) {
	text := link.text()
	if text == "" {
		return
	}
	scheme, address, _ := endpoint.CutLink(text)
	if address == "" {
		c.missing("the port of %s can't be told: name it with --port", link.place)
		return
	}
	port := strings.TrimPrefix(address, ":")
	if !scheme.IsShadowsocks() && c.otherProtocol(scheme.Protocol, port) {
		return
	}
	if scheme.IsOverUDP() {
		protocols = accounting.OnlyUDP
	}
	c.add(link, link.portIn(port), protocols, "")
}
