package shadowsocks

import (
	"slices"

	"ssmonitor/accounting"
)

// isMihomo recognises mihomo, also called Clash.Meta, by its listeners and
// proxies.
func isMihomo(root node) bool { return root.has("listeners", "proxies", "ss-config", "vmess-config") }

func readMihomo(c *collector, root node) error {
	listeners, err := root.at("listeners").objects()
	if err != nil {
		return err
	}
	for _, listener := range listeners {
		if err := readMihomoListener(c, listener); err != nil {
			return err
		}
	}
	if err := c.addLink(root.at("ss-config"), accounting.TCPAndUDP); err != nil {
		return err
	}
	if err := c.addLink(root.at("vmess-config"), accounting.OnlyTCP); err != nil {
		return err
	}
	if len(c.ports) == 0 && root.has("proxies") && !root.has("ss-config") && !c.options.ForceServer {
		return &ClientError{Reason: "it has proxies, and no listener of Shadowsocks"}
	}
	return nil
}

// What the listeners of mihomo listen on. Those that are not listed have udp, which is
// true by default.
var (
	mihomoUDP = []string{"hysteria2", "tuic", "shadowquic"}
	mihomoTCP = []string{"anytls", "http", "redir", "snell", "sudoku", "trojan", "vless", "vmess"}
)

func readMihomoListener(c *collector, listener node) error {
	typ, err := listener.at("type").text()
	if err != nil {
		return err
	}
	port := listener.at("port")
	if port.value == nil {
		return nil // a tun interface, for one
	}
	if typ != protocolShadowsocks && c.otherProtocol(typ, shownPorts(port)) {
		return nil
	}
	numbers, err := readPorts(c, port)
	if err != nil {
		return err
	}
	protocols, err := mihomoProtocols(listener, typ)
	if err != nil {
		return err
	}
	name, err := listener.at("name").text()
	if err != nil {
		return err
	}
	for _, number := range numbers {
		c.shareOver(protocols, number, listener.at("users").count())
		if err := c.add(port.place, number, protocols, name); err != nil {
			return err
		}
	}
	return nil
}

// mihomoProtocols returns what the listener listens on.
func mihomoProtocols(listener node, typ string) (accounting.Protocols, error) {
	kcp, err := listener.at("kcp-tun").at("enable").flag(false)
	if err != nil {
		return 0, err
	}
	mkcp, err := listener.at("mkcp-config").at("enable").flag(false)
	if err != nil {
		return 0, err
	}
	udp, err := listener.at("udp").flag(true)
	switch {
	case err != nil:
		return 0, err
	case slices.Contains(mihomoUDP, typ) || mkcp:
		return accounting.OnlyUDP, nil
	case slices.Contains(mihomoTCP, typ) || !udp && !kcp:
		return accounting.OnlyTCP, nil
	}
	return accounting.TCPAndUDP, nil
}
