package shadowsocks

import (
	"net/netip"
	"slices"
	"strings"

	"ssmonitor/integration/shadowsocks/endpoint"
)

// LocalHost distinguishes the addresses of this host from others, and so a server's
// configuration from a client's.
type LocalHost struct {
	Addresses []netip.Addr // of the network interfaces
	Names     []string     // of the kernel and of /etc/hosts, for these addresses
}

// isLocal reports whether a server can listen on the host that a configuration
// names: a wildcard, loopback, or this host.
func (h LocalHost) isLocal(host string) bool {
	if host == "" || endpoint.IsLoopback(host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return slices.ContainsFunc(h.Names, func(name string) bool {
			return strings.EqualFold(strings.TrimSuffix(name, "."), strings.TrimSuffix(host, "."))
		})
	}
	ip = ip.Unmap().WithZone("")
	return ip.IsUnspecified() || slices.ContainsFunc(h.Addresses, func(own netip.Addr) bool {
		return own.Unmap().WithZone("") == ip
	})
}

// serverAddress is one on which a server listens, or where a client finds it. The port is
// empty where server_port counts.
type serverAddress struct {
	at         node
	host, port string
}

// addressesIn returns the addresses of server, which may be one text or a list.
func addressesIn(server node) (addresses []serverAddress) {
	for _, entry := range server.each() {
		if !entry.check(kindText, "a text") {
			return nil
		}
		host, port := endpoint.Split(entry.scalar)
		addresses = append(addresses, serverAddress{entry, host, port})
	}
	return addresses
}

// listenPort returns the port of an address to listen on, as :8388.
func listenPort(address node) uint16 {
	_, port := endpoint.Split(address.text())
	if port == "" {
		address.fail("without a port", "an address with a port, as 0.0.0.0:8388 or :8388")
		return 0
	}
	return address.portIn(port)
}
