package shadowsocks

import (
	"net/netip"
	"slices"
	"strings"
)

// address is where a server listens, or where a client finds it.
type address struct {
	place      string // in the file
	host, port string // the port is empty where server_port counts
}

// addresses returns the entries of server.
func (s *server) addresses(place string) ([]address, error) {
	items, err := s.Server.items(place + "server")
	if err != nil {
		return nil, err
	}
	addresses := make([]address, len(items))
	for i, item := range items {
		text, err := item.text(item.place)
		if err != nil {
			return nil, err
		}
		host, port := splitAddress(text)
		addresses[i] = address{item.place, host, port}
	}
	return addresses, nil
}

// splitAddress splits an address of libev's list into host and port, each of
// which may be missing: host, host:port, [IPv6]:port, or IPv6 with or without
// brackets.
func splitAddress(text string) (host, port string) {
	host = text
	colon := strings.LastIndexByte(text, ':')
	single := strings.IndexByte(text, ':') == colon
	if colon > 0 && (single || text[colon-1] == ']') {
		host, port = text[:colon], text[colon+1:]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return host, port
}

// isLocal tells whether a server can listen on the host that a configuration
// names: a wildcard, loopback, or one of the host's own addresses. Other names
// than localhost are not looked up, and count as remote.
func isLocal(host string, hostAddresses []netip.Addr) bool {
	if host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return ip.IsUnspecified() || ip.IsLoopback() ||
		slices.ContainsFunc(hostAddresses, func(own netip.Addr) bool {
			return own.Unmap().WithZone("") == ip
		})
}
