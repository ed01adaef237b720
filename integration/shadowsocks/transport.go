package shadowsocks

import (
	"strings"

	"ssmonitor/accounting"
)

// noProtocols is what a server listens on that has a unix socket only.
const noProtocols accounting.Protocols = 0

// transports are those of Xray and V2Ray, by the names that their configurations give
// them, and what they listen on: https://xtls.github.io/en/config/transport.html and
// https://www.v2fly.org/v5/config/stream.html.
var transports = map[string]accounting.Protocols{
	"": accounting.OnlyTCP, "tcp": accounting.OnlyTCP, "raw": accounting.OnlyTCP,
	"ws": accounting.OnlyTCP, "websocket": accounting.OnlyTCP, "httpupgrade": accounting.OnlyTCP,
	"h2": accounting.OnlyTCP, "http": accounting.OnlyTCP, "grpc": accounting.OnlyTCP, "gun": accounting.OnlyTCP,
	"xhttp": accounting.OnlyTCP, "splithttp": accounting.OnlyTCP,
	"meek": accounting.OnlyTCP, "mekya": accounting.OnlyTCP, "request": accounting.OnlyTCP, "gdocsviewer": accounting.OnlyTCP, "tlsmirror": accounting.OnlyTCP,
	"kcp": accounting.OnlyUDP, "mkcp": accounting.OnlyUDP, "quic": accounting.OnlyUDP, "h3": accounting.OnlyUDP, "dtls": accounting.OnlyUDP, "rrpit": accounting.OnlyUDP,
	"hysteria": accounting.OnlyUDP, "hysteria2": accounting.OnlyUDP, "hy2": accounting.OnlyUDP,
	"ds": noProtocols, "domainsocket": noProtocols,
}

// mayBeHTTP3 are the transports that listen on UDP where HTTP/3 is the only version that TLS
// offers: https://github.com/XTLS/Xray-core/issues/4086.
var mayBeHTTP3 = newKeySet("xhttp", "splithttp", "http", "h2")

// listensOn returns what an inbound of Xray or V2Ray listens on. Each of its networks
// has a listener: that of TCP is the transport's, that of UDP is UDP whatever the
// transport is. A transport that is not known may be either.
func listensOn(networks accounting.Protocols, stream node) accounting.Protocols {
	transport := transportOf(stream)
	if networks&accounting.OnlyTCP == 0 {
		return networks
	}
	carrier, known := transports[transport]
	if !known {
		carrier = accounting.TCPAndUDP
	}
	if mayBeHTTP3[transport] && speaksHTTP3(stream) {
		carrier = accounting.OnlyUDP
	}
	return networks&^accounting.OnlyTCP | carrier
}

// isSocketTransport reports whether the transport listens on a unix socket.
func isSocketTransport(name string) bool {
	carrier, known := transports[name]
	return known && carrier == noProtocols
}

// transportOf returns the name of the transport in lower case, which Xray has in
// network, or in method since 2026, and V2Ray 5 in transport.
func transportOf(stream node) string {
	if stream.is(kindText) && stream.scalar == "" || !stream.check(kindObject, "an object, {...}") {
		return ""
	}
	return strings.ToLower(stream.at("method").or(stream.at("network")).or(stream.at("transport")).text())
}

// speaksHTTP3 reports whether HTTP/3 is the only version that TLS offers.
func speaksHTTP3(stream node) bool {
	if !strings.EqualFold(stream.at("security").text(), "tls") {
		return false
	}
	versions := stream.at("tlsSettings").at("alpn").each()
	return len(versions) == 1 && versions[0].text() == "h3"
}

// networksOf returns the networks of an inbound's protocol, or both where they are not
// known.
func networksOf(protocol string, settings node) accounting.Protocols {
	switch strings.ToLower(protocol) {
	case protocolShadowsocks: // with udp in V2Ray before version 4
		return readNetwork(settings.at("network").or(settings.at("networks")), accounting.OnlyTCP) | udpOf(settings)
	case "dokodemo-door", "tunnel":
		return readNetwork(settings.at("network").or(settings.at("networks")).or(settings.at("allowedNetwork")), accounting.OnlyTCP)
	case "socks", "mixed":
		return accounting.OnlyTCP | udpOf(settings)
	case "vless", "vmess", "trojan", "http", "mtproto":
		return accounting.OnlyTCP
	case "wireguard", "hysteria", "hysteria2", "vliteu":
		return accounting.OnlyUDP
	}
	return accounting.TCPAndUDP
}

// udpOf returns UDP where the settings have "udp": true.
func udpOf(settings node) accounting.Protocols {
	if settings.at("udp").flag(false) {
		return accounting.OnlyUDP
	}
	return noProtocols
}
