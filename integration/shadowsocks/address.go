package shadowsocks

import (
	"net/netip"
	"slices"
	"strings"
)

// Host distinguishes the addresses of this host from others, and so a server's
// configuration from a client's.
type Host struct {
	Addresses []netip.Addr // of the network interfaces
	Names     []string     // of the kernel and of /etc/hosts, for these addresses
}

// isLocal reports whether a server can listen on the host that a configuration
// names: a wildcard, loopback, or this host.
func (h Host) isLocal(host string) bool {
	if host == "" || isLoopback(host) {
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

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// isAddress reports whether the host is given by its address, not by a name.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// endpoint is where a server listens, or where a client finds it.
type endpoint struct {
	place      string // in the file
	host, port string // the port is empty where server_port counts
}

// endpoints returns the entries of server, which may be one text or a list.
func endpoints(server node) ([]endpoint, error) {
	entries, err := server.each()
	if err != nil {
		return nil, err
	}
	endpoints := make([]endpoint, len(entries))
	for i, entry := range entries {
		text, err := entry.text()
		if err != nil {
			return nil, err
		}
		host, port := splitEndpoint(text)
		endpoints[i] = endpoint{entry.place, host, port}
	}
	return endpoints, nil
}

// splitEndpoint splits host, host:port, :port, [IPv6]:port, or IPv6 with or
// without brackets.
func splitEndpoint(text string) (host, port string) {
	host = text
	colon := strings.LastIndexByte(text, ':')
	single := strings.IndexByte(text, ':') == colon
	if colon >= 0 && (single || text[colon-1] == ']') {
		host, port = text[:colon], text[colon+1:]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return host, port
}

// listenPort returns the port of an address to listen on, as :8388.
func listenPort(address node) (uint16, error) {
	text, err := address.text()
	if err != nil {
		return 0, err
	}
	_, port := splitEndpoint(text)
	if port == "" {
		return 0, &ValueError{address.place, "without a port", "an address with a port, as 0.0.0.0:8388 or :8388"}
	}
	return parsePort(address.place, port)
}
