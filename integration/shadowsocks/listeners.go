package shadowsocks

import (
	"path/filepath"
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

func readShadowsocksGo(c *collector, root node) error {
	servers, err := root.at("servers").objects()
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := readShadowsocksGoServer(c, server); err != nil {
			return err
		}
	}
	if len(c.ports) > 0 || c.options.ForceServer {
		return nil
	}
	clients, err := root.at("clients").objects()
	if err != nil {
		return err
	}
	for _, client := range clients {
		if protocol, err := client.at("protocol").text(); err == nil && isShadowsocksGoProtocol(protocol) {
			return &ClientError{Reason: "Shadowsocks is among its clients only"}
		}
	}
	return nil
}

func isShadowsocksGoProtocol(protocol string) bool {
	return strings.HasPrefix(protocol, "2022-blake3-") || protocol == "none" || protocol == "plain"
}

func readShadowsocksGoServer(c *collector, server node) error {
	protocol, err := server.at("protocol").text()
	if err != nil {
		return err
	}
	name, err := server.at("name").text()
	if err != nil {
		return err
	}
	severalUsers := false
	for _, listeners := range []struct {
		list, flag string
		protocols  accounting.Protocols
	}{
		{"tcpListeners", "enableTCP", accounting.OnlyTCP},
		{"udpListeners", "enableUDP", accounting.OnlyUDP},
	} {
		addresses, err := listenAddresses(server, listeners.list, listeners.flag)
		if err != nil {
			return err
		}
		for _, address := range addresses {
			number, err := listenPort(address)
			if err != nil {
				return err
			}
			_, port := splitEndpoint(address.scalar)
			if !isShadowsocksGoProtocol(protocol) && c.otherProtocol(protocol, port) {
				continue
			}
			severalUsers = server.at("uPSKs").count() > 1 || server.has("uPSKStorePath")
			if err := c.add(address.place, number, listeners.protocols, name); err != nil {
				return err
			}
		}
	}
	if severalUsers {
		c.note("the users of %s share its port and can't be told apart by its counters", server.place)
	}
	return nil
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
func listenAddresses(server node, list, flag string) ([]node, error) {
	listeners, err := server.at(list).objects()
	if err != nil {
		return nil, err
	}
	var addresses []node
	for _, listener := range listeners {
		if network, err := listener.at("network").text(); err != nil {
			return nil, err
		} else if strings.HasPrefix(network, "unix") {
			continue
		}
		addresses = append(addresses, listener.at("address"))
	}
	enabled, err := server.at(flag).flag(false)
	if enabled && (server.has("listen") || !server.has("tcpListeners", "udpListeners")) {
		addresses = append(addresses, server.at("listen"))
	}
	return addresses, err
}
