// Package endpoint reads where a server listens, or where a client finds it: host and
// port, also of a link such as ss://method:password@:8388.
package endpoint

import (
	"net/netip"
	"slices"
	"strings"
)

// Split splits host, host:port, :port, [IPv6]:port, or IPv6 with or without brackets.
func Split(text string) (host, port string) {
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

// IsLoopback reports whether only programs of its own host find what listens there.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// IsAddress reports whether the host is given by its address, not by a name.
func IsAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// Scheme is what comes before :// in the links of gost.
type Scheme struct {
	Protocol  string // in lower case, as ss
	Transport string // that carries it, as kcp; none by default
}

// CutLink splits a link into its scheme and the rest, in which there may be a password.
// Without a scheme, the rest is the whole text.
func CutLink(link string) (scheme Scheme, rest string, found bool) {
	before, rest, found := strings.Cut(link, "://")
	if !found {
		return Scheme{}, link, false
	}
	scheme.Protocol, scheme.Transport, _ = strings.Cut(strings.ToLower(before), "+")
	return scheme, rest, true
}

// overUDP are the transports of gost that are carried in UDP.
var overUDP = []string{"udp", "kcp", "quic", "http3", "h3", "wt", "dtls", "redu", "tun", "tap"}

// IsOverUDP reports whether a transport of gost is carried in UDP.
func IsOverUDP(transport string) bool { return slices.Contains(overUDP, transport) }

// IsShadowsocks reports whether the protocol is that of Shadowsocks over TCP, the same
// with newer ciphers, or over UDP, as gost 2 and go-shadowsocks2 name them.
func (s Scheme) IsShadowsocks() bool {
	return slices.Contains([]string{"ss", "ss2", "ssu"}, s.Protocol)
}

// IsOverUDP reports whether what the link describes receives over UDP only.
func (s Scheme) IsOverUDP() bool {
	return IsOverUDP(s.Transport) || s.Transport == "" && (s.Protocol == "ssu" || IsOverUDP(s.Protocol))
}
