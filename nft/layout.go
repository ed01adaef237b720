package nft

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// TableName is the name of the table, in family inet.
const TableName = "ssmonitor"

// Mark is the comment that distinguishes our table from a foreign one of the
// same name.
const Mark = "made by ssmonitor to count traffic per port"

// Hook says where in the kernel's path packets are counted.
type Hook string

const (
	// HookHost counts at input and output: ports of programs on this host. What
	// clients send to published ports is counted where the host forwards it.
	HookHost Hook = "host"
	// HookContainer counts every port at prerouting and postrouting, before
	// addresses are translated.
	HookContainer Hook = "container"
)

// ParseHook returns the hook with the name host or container.
func ParseHook(name string) (Hook, error) {
	switch hook := Hook(name); hook {
	case HookHost, HookContainer:
		return hook, nil
	}
	return "", &accounting.InvalidError{Name: "hook", Text: name, Want: "host or container"}
}

// hookPublished is HookHost for a host that publishes ports of containers. The
// translation sends their packets past input and output, so they are counted where
// the host forwards them, by the address and port of the container. The same
// packet is never at two of these hooks.
const hookPublished Hook = "host, with published ports"

// hookRedirected is hookPublished where not every target is known. The connection
// entry shows what the client has sent to. That distinguishes ports that share a
// target, too, but it fails for an entry that the container has begun.
const hookRedirected Hook = "host, with redirected connections"

// hookUndecided is HookHost before the targets are known. What hookPublished has
// may be there: it must not be removed and created again when an agent starts.
const hookUndecided Hook = "host, with unknown targets"

// with returns the hook for what is forwarded.
func (h Hook) with(forwarding accounting.Forwarding) Hook {
	switch {
	case h != HookHost:
		return h
	case len(forwarding.Addresses) > 0:
		return hookRedirected
	case len(forwarding.Targets) > 0:
		return hookPublished
	}
	return h
}

// chain is one of the base chains of the table.
type chain struct {
	name         string
	hook         uint32 // NF_INET_*: include/uapi/linux/netfilter.h
	hookText     string // as nft lists it
	priority     int32
	priorityText string       // as nft lists it
	uses         []counterMap // by its rules
	rules        []rule       // in order
}

// Offsets to priorities of include/uapi/linux/netfilter_ipv4.h. Filter + 40 is
// after every firewall in use (firewalld sits at + 10) and before security, so
// that only packets that the firewall accepts are counted.
const (
	priorityFilter         = 0
	priorityDestinationNAT = -100
	prioritySourceNAT      = 100
)

func (h Hook) chains() []chain {
	if h == HookContainer {
		return []chain{
			{"prerouting", unix.NF_INET_PRE_ROUTING, "prerouting", priorityDestinationNAT - 10, "dstnat - 10", []counterMap{portMap(accounting.In)},
				localRules(accounting.In)},
			{"postrouting", unix.NF_INET_POST_ROUTING, "postrouting", prioritySourceNAT + 10, "srcnat + 10", []counterMap{portMap(accounting.Out)},
				localRules(accounting.Out)},
		}
	}
	chains := []chain{
		{"input", unix.NF_INET_LOCAL_IN, "input", priorityFilter + 40, "filter + 40", []counterMap{portMap(accounting.In)},
			[]rule{{countPort(accounting.In), acceptPacket}}},
		{"output", unix.NF_INET_LOCAL_OUT, "output", priorityFilter + 40, "filter + 40", []counterMap{portMap(accounting.Out)},
			[]rule{sentInVRF, {countPort(accounting.Out), acceptPacket}}},
	}
	if h == hookPublished || h == hookRedirected {
		for _, m := range forwardMaps {
			c := chain{m.name, unix.NF_INET_FORWARD, "forward", priorityFilter + 40, "filter + 40", []counterMap{m},
				[]rule{{countTarget(m), acceptPacket}}}
			if h == hookRedirected {
				c.rules = append(redirectedRules(m), c.rules...)
				c.uses = append(c.uses, portMap(m.direction), hostSet(m.family))
			}
			chains = append(chains, c)
		}
	}
	return chains
}

// maps returns the maps of the table.
func (h Hook) maps() []counterMap {
	switch h {
	case hookPublished:
		return slices.Concat(portMaps[:], forwardMaps[:])
	case hookRedirected:
		return slices.Concat(portMaps[:], forwardMaps[:], hostSets[:])
	}
	return portMaps[:]
}

// counterMap is one of the maps of the table. It leads from the protocol and the
// port of a packet to a counter, or from address, protocol and port. A set of the
// addresses of this host leads to nothing.
type counterMap struct {
	name      string
	id        uint32 // within a transaction
	direction accounting.Direction
	family    byte // NFPROTO_* of the address; NFPROTO_UNSPEC: the key has no address
	addresses bool // it is a set of addresses
}

// The names of the first two have a prefix because in and out were keywords of nft
// up to 0.9.8.
var (
	portMaps = [...]counterMap{
		{"ports-in", 1, accounting.In, unix.NFPROTO_UNSPEC, false},
		{"ports-out", 2, accounting.Out, unix.NFPROTO_UNSPEC, false},
	}
	forwardMaps = [...]counterMap{
		{"forward-ip-in", 3, accounting.In, unix.NFPROTO_IPV4, false},
		{"forward-ip-out", 4, accounting.Out, unix.NFPROTO_IPV4, false},
		{"forward-ip6-in", 5, accounting.In, unix.NFPROTO_IPV6, false},
		{"forward-ip6-out", 6, accounting.Out, unix.NFPROTO_IPV6, false},
	}
	hostSets = [...]counterMap{
		{"host-ip", 7, accounting.In, unix.NFPROTO_IPV4, true},
		{"host-ip6", 8, accounting.In, unix.NFPROTO_IPV6, true},
	}
)

// hostSet returns the set of the host's addresses of a family.
func hostSet(family byte) counterMap {
	if family == unix.NFPROTO_IPV4 {
		return hostSets[0]
	}
	return hostSets[1]
}

func hostSetOf(address netip.Addr) counterMap {
	if address.Is4() {
		return hostSets[0]
	}
	return hostSets[1]
}

// keyLength is the length of a key as the kernel holds it: each field padded to
// four bytes.
func (m counterMap) keyLength() int {
	if m.addresses {
		return addressLength(m.family)
	}
	return addressLength(m.family) + len(elementKey{})
}

func addressLength(family byte) int {
	switch family {
	case unix.NFPROTO_IPV4:
		return 4
	case unix.NFPROTO_IPV6:
		return 16
	}
	return 0
}

// keyType is the type of a key as nft composes it.
func (m counterMap) keyType() uint32 {
	address := uint32(0)
	switch m.family {
	case unix.NFPROTO_IPV4:
		address = typeIPv4Address
	case unix.NFPROTO_IPV6:
		address = typeIPv6Address
	}
	if m.addresses {
		return address
	}
	return address<<(2*typeBits) | mapKeyType
}

// typeText is the type of the map as nft lists it.
func (m counterMap) typeText() string {
	text := "inet_proto . inet_service : counter"
	switch m.family {
	case unix.NFPROTO_IPV4:
		text = "ipv4_addr . " + text
	case unix.NFPROTO_IPV6:
		text = "ipv6_addr . " + text
	}
	if m.addresses {
		text, _, _ = strings.Cut(text, " ")
	}
	return text
}

// kindText is what nft calls it.
func (m counterMap) kindText() string {
	if m.addresses {
		return "set"
	}
	return "map"
}

// portMap returns the map from protocol and port to counter of a direction.
func portMap(d accounting.Direction) counterMap { return portMaps[d] }

var directions = [...]accounting.Direction{accounting.In, accounting.Out}

// parseCounterName is the inverse of [accounting.Key.AppendText]. It accepts no
// other spelling, such as one with leading zeros.
func parseCounterName(name []byte) (accounting.Key, bool) {
	var key accounting.Key
	if len(name) < len("tcp-1-in") {
		return key, false
	}
	switch string(name[:4]) {
	case "tcp-":
		key.Protocol = accounting.TCP
	case "udp-":
		key.Protocol = accounting.UDP
	default:
		return key, false
	}
	digits, port := 0, 0
	for name = name[4:]; digits < len(name) && digits < 5 && name[digits] >= '0' && name[digits] <= '9'; digits++ {
		port = port*10 + int(name[digits]-'0')
	}
	if digits == 0 || name[0] == '0' || port > 65535 {
		return key, false
	}
	key.Port = uint16(port)
	switch string(name[digits:]) {
	case "-in":
		key.Direction = accounting.In
	case "-out":
		key.Direction = accounting.Out
	default:
		return key, false
	}
	return key, true
}

// elementKey is a key of our maps as the kernel holds it: each field of the
// concatenation inet_proto . inet_service padded to four bytes.
type elementKey [8]byte

func newElementKey(key accounting.Key) elementKey {
	return elementKey{byte(key.Protocol), 0, 0, 0, byte(key.Port >> 8), byte(key.Port), 0, 0}
}

// parseElementKey returns the counter that belongs to an element of the map of
// direction.
func parseElementKey(b []byte, direction accounting.Direction) (accounting.Key, bool) {
	if len(b) != len(elementKey{}) {
		return accounting.Key{}, false
	}
	key := accounting.Key{
		Port:      uint16(b[4])<<8 | uint16(b[5]),
		Protocol:  accounting.Protocol(b[0]),
		Direction: direction,
	}
	known := key.Protocol == accounting.TCP || key.Protocol == accounting.UDP
	return key, known && newElementKey(key) == elementKey(b)
}
