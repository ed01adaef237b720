package shadowsocks

import (
	"path/filepath"
	"slices"
	"strconv"
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

func readShadowsocksGo(c *collector, root node) {
	for _, server := range root.at("servers").objects() {
		readShadowsocksGoServer(c, server)
	}
	if len(c.ports) > 0 || c.options.ForceServer {
		return
	}
	if slices.ContainsFunc(root.at("clients").objects(), func(client node) bool {
		return isShadowsocksGoProtocol(client.at("protocol").word())
	}) {
		c.refuse("Shadowsocks is among its clients only")
	}
}

func isShadowsocksGoProtocol(protocol string) bool {
	return strings.HasPrefix(protocol, "2022-blake3-") || protocol == "none" || protocol == "plain"
}

func readShadowsocksGoServer(c *collector, server node) {
	protocol, name := server.at("protocol").text(), server.at("name").text()
	severalUsers := false
	for _, listeners := range []struct {
		list, flag string
		protocols  accounting.Protocols
	}{
		{"tcpListeners", "enableTCP", accounting.OnlyTCP},
		{"udpListeners", "enableUDP", accounting.OnlyUDP},
	} {
		for _, address := range listenAddresses(server, listeners.list, listeners.flag) {
			number := listenPort(address)
			if !isShadowsocksGoProtocol(protocol) && c.otherProtocol(protocol, strconv.Itoa(int(number))) {
				continue
			}
			severalUsers = server.at("uPSKs").count() > 1 || server.has("uPSKStorePath")
			c.add(address, number, listeners.protocols, name)
		}
	}
	if severalUsers {
		c.note("the users of %s share its port and can't be told apart by its counters", server.place)
	}
}

// reducePath returns the name of a file in JSON, and nothing of any other text, which may
// be a key in the wrong place.
func reducePath(path string) string {
	if filepath.Ext(path) != ".json" {
		return ""
	}
	return strings.Clone(filepath.Base(path))
}

// listenAddresses returns the addresses in the list, and that of listen if the
// flag is set, as older versions have it. Where both are mixed, the flag may have no
// address.
func listenAddresses(server node, list, flag string) (addresses []node) {
	for _, listener := range server.at(list).objects() {
		if !strings.HasPrefix(listener.at("network").text(), "unix") {
			addresses = append(addresses, listener.at("address"))
		}
	}
	if server.at(flag).flag(false) && (server.has("listen") || !server.has("tcpListeners", "udpListeners")) {
		addresses = append(addresses, server.at("listen"))
	}
	return addresses
}
