package shadowsocks

import (
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
	for _, inbound := range inbounds {
		if err := readSingBoxInbound(c, inbound); err != nil {
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
		if protocol := outbound.at(key); protocol.is(kindText) && strings.EqualFold(protocol.scalar, protocolShadowsocks) {
			return &ClientError{Reason: "Shadowsocks is among its outbounds only"}
		}
	}
	return nil
}

func readSingBoxInbound(c *collector, inbound node) error {
	typ, err := inbound.at("type").text()
	if err != nil {
		return err
	}
	port := inbound.at("listen_port")
	if port.value == nil || port.is(kindNumber) && port.scalar == "0" {
		if typ == protocolShadowsocks {
			c.missing("%s has no listen_port", inbound.place)
		}
		return nil // a tun interface, for one
	}
	number, err := port.port()
	if err != nil {
		return err
	}
	if typ != protocolShadowsocks && c.otherProtocol(typ, port.scalar) {
		return nil
	}
	if inbound.has("netns") {
		c.missing("%s listens in another network namespace, whose traffic is not seen here", inbound.place)
		return nil
	}
	protocols, err := readNetwork(inbound.at("network"), accounting.TCPAndUDP)
	if err != nil {
		return err
	}
	name, users, err := readUsers(inbound, "name", "users", "destinations")
	if err != nil {
		return err
	}
	if managed, err := inbound.at("managed").flag(false); err != nil {
		return err
	} else if managed {
		c.note("the users of %s are managed at run time and can't be told apart by its counters", inbound.place)
	}
	c.share(number, users)
	return c.add(inbound.place, number, protocols, name)
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
