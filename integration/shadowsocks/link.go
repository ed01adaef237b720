package shadowsocks

import (
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// reduceLink returns the scheme and the port of a link for servers, such as
// ss://method:password@:8388?mode=fast. Nothing else of it is kept: there is a password
// in it. It returns the scheme alone where it is not certain what the port is, and a scheme that
// is not known as another.
func reduceLink(text string) string {
	if text == "" {
		return ""
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	protocol, transport, _ := strings.Cut(strings.ToLower(scheme), "+")
	if !slices.Contains(linkProtocols, protocol) && !slices.Contains(otherProtocols, protocol) {
		protocol = "another"
	}
	if overUDP[transport] {
		protocol += "+udp"
	} else if transport != "" {
		protocol += "+tcp"
	}
	host, port := splitEndpoint(rest)
	if _, err := parsePort("", port); err != nil || host != "" && !isLoopback(host) && !isAddress(host) {
		return protocol + "://"
	}
	return strings.Clone(protocol + "://:" + port)
}

// linkProtocols are those of Shadowsocks in the links of gost 2: over TCP, with newer
// ciphers, and over UDP.
var linkProtocols = []string{"ss", "ss2", "ssu"}

// addLink takes the port of a link, as reduceLink has left it. Where the link does not
// say otherwise, the server listens for the protocols that are given.
func (c *collector) addLink(link node, protocols accounting.Protocols) error {
	text, err := link.text()
	if err != nil || text == "" {
		return err
	}
	scheme, port, found := strings.Cut(text, "://:")
	if !found {
		c.missing("the port of %s can't be told: name it with --port", link.place)
		return nil
	}
	number, err := parsePort(link.place, port)
	if err != nil {
		return err
	}
	protocol, transport, _ := strings.Cut(scheme, "+")
	if !slices.Contains(linkProtocols, protocol) && c.otherProtocol(protocol, port) {
		return nil
	}
	if transport == "udp" || transport == "" && (protocol == "ssu" || overUDP[protocol]) {
		protocols = accounting.OnlyUDP
	}
	return c.add(link.place, number, protocols, "")
}
