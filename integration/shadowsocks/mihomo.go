package shadowsocks

import (
	"slices"

	"ssmonitor/accounting"
)

// readMihomo reads the configuration of mihomo, also called Clash.Meta.
func readMihomo(c *collector, root node) {
	for _, listener := range root.at("listeners").objects() {
		readMihomoListener(c, listener)
	}
	c.addLink(root.at("ss-config"), accounting.TCPAndUDP)
	c.addLink(root.at("vmess-config"), accounting.OnlyTCP)
	if len(c.ports) == 0 && root.has("proxies") && !root.has("ss-config") && !c.options.ForceServer {
		c.refuse("it has proxies, and no listener of Shadowsocks")
	}
}

// What the listeners of mihomo listen on. Those that are not listed have udp, which is
// true by default.
var (
	mihomoUDP = []string{"hysteria2", "tuic", "shadowquic"}
	mihomoTCP = []string{"anytls", "http", "redir", "snell", "sudoku", "trojan", "vless", "vmess"}
)

func readMihomoListener(c *collector, listener node) {
	typ, port := listener.at("type").text(), listener.at("port")
	if port.value == nil { // a tun interface, for one
		return
	}
	if typ != protocolShadowsocks && c.otherProtocol(typ, shownPorts(port)) {
		return
	}
	numbers := readPorts(c, port)
	protocols := mihomoProtocols(listener, typ)
	name := listener.at("name").text()
	for _, number := range numbers {
		c.addUsersOver(protocols, number, listener.at("users").count())
		c.add(port, number, protocols, name)
	}
}

// mihomoProtocols returns what the listener listens on.
func mihomoProtocols(listener node, typ string) accounting.Protocols {
	kcp, mkcp := listener.at("kcp-tun").at("enable").flag(false), listener.at("mkcp-config").at("enable").flag(false)
	udp := listener.at("udp").flag(true)
	switch {
	case slices.Contains(mihomoUDP, typ) || mkcp:
		return accounting.OnlyUDP
	case slices.Contains(mihomoTCP, typ) || !udp && !kcp:
		return accounting.OnlyTCP
	}
	return accounting.TCPAndUDP
}
