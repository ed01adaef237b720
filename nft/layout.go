package nft

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// TableName is the name of the table, in family inet.
const TableName = "ssmonitor"

// tableComment is the comment that distinguishes our table from a foreign one of the
// same name.
const tableComment = "made by ssmonitor to count traffic per port"

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

// CountsForwarded reports whether what the host forwards, to containers for example, is
// counted where it forwards it.
func (h Hook) CountsForwarded() bool { return h == HookHost }

// ParseHook returns the hook with the name host or container.
func ParseHook(name string) (Hook, error) {
	switch hook := Hook(name); hook {
	case HookHost, HookContainer:
		return hook, nil
	}
	return "", &accounting.InvalidError{Name: "hook", Text: name, Want: "host or container"}
}

// layout is what the table consists of besides its counters and elements.
type layout struct {
	chains    []chain
	sets      []tableSet
	targets   []forwardElement // of the maps of targets
	addresses []forwardElement // of the sets of the host's addresses
	// undecided reports whether it is not known yet what is forwarded. What counts at
	// forward may be there then: it must not be removed and created again when an
	// agent starts.
	undecided bool
}

// layout returns the layout for what is forwarded.
//
// The translation sends the packets of ports that are published on this host past input
// and output, so they are counted where the host forwards them, by the address and port
// of the container. The same packet is never at two of these hooks. Where not every
// target is known, the connection entry shows what the client has sent to. That
// distinguishes ports that share a target, too, but it fails for an entry that the
// container has begun.
func (h Hook) layout(forwarding accounting.Forwarding) layout {
	in, out := portMap(accounting.In), portMap(accounting.Out)
	if !h.CountsForwarded() {
		return layout{sets: portMaps, chains: []chain{
			{"prerouting", unix.NF_INET_PRE_ROUTING, "prerouting", priorityDestinationNAT - 10, "dstnat - 10", []tableSet{in},
				localRules(accounting.In)},
			{"postrouting", unix.NF_INET_POST_ROUTING, "postrouting", prioritySourceNAT + 10, "srcnat + 10", []tableSet{out},
				localRules(accounting.Out)},
		}}
	}
	l := layout{undecided: !forwarding.Known, sets: portMaps, chains: []chain{
		{"input", unix.NF_INET_LOCAL_IN, "input", priorityFilter + 40, "filter + 40", []tableSet{in},
			[]rule{{countPort(accounting.In), acceptPacket}}},
		{"output", unix.NF_INET_LOCAL_OUT, "output", priorityFilter + 40, "filter + 40", []tableSet{out},
			[]rule{sentInVRF, {countPort(accounting.Out), acceptPacket}}},
	}}
	redirected := len(forwarding.Addresses) > 0
	switch {
	case redirected:
		l.sets = allSets[:]
	case len(forwarding.Targets) > 0:
		l.sets = allSets[:len(portMaps)+len(forwardMaps)]
	default:
		return l
	}
	for _, m := range forwardMaps {
		c := chain{m.name, unix.NF_INET_FORWARD, "forward", priorityFilter + 40, "filter + 40", []tableSet{m},
			[]rule{{countTarget(m), acceptPacket}}}
		if redirected {
			c.rules = append(redirectedRules(m), c.rules...)
			c.uses = append(c.uses, portMap(m.direction), hostSet(m.family))
		}
		l.chains = append(l.chains, c)
	}
	for _, target := range forwarding.Targets {
		for _, m := range forwardMaps {
			if m.family == familyOf(target.Address.Addr()) {
				l.targets = append(l.targets, forwardElement{m, target})
			}
		}
	}
	for _, address := range forwarding.Addresses {
		l.addresses = append(l.addresses, hostElement(hostSet(familyOf(address)), address))
	}
	return l
}

// allowsChain reports whether a chain of the name may be in the table.
func (l *layout) allowsChain(name string) bool {
	return slices.ContainsFunc(l.chains, func(c chain) bool { return c.name == name }) ||
		l.undecided && slices.ContainsFunc(forwardMaps, func(m tableSet) bool { return m.name == name }) // named as their maps
}

// allowsSet reports whether the set may be in the table.
func (l *layout) allowsSet(set setInfo) bool {
	sets := l.sets
	if l.undecided {
		sets = allSets[:]
	}
	return set.isAnonymous() || slices.ContainsFunc(sets, func(m tableSet) bool { return m.matches(set) })
}

// chain is one of the base chains of the table.
type chain struct {
	name         string
	hook         uint32 // NF_INET_*: include/uapi/linux/netfilter.h
	hookText     string // as nft lists it
	priority     int32
	priorityText string     // as nft lists it
	uses         []tableSet // by its rules
	rules        []rule     // in order
}

// Offsets to priorities of include/uapi/linux/netfilter_ipv4.h. Filter + 40 is
// after every firewall in use (firewalld sits at + 10) and before security, so
// that only packets that the firewall accepts are counted.
const (
	priorityFilter         = 0
	priorityDestinationNAT = -100
	prioritySourceNAT      = 100
)

// tableSet is one of the maps of the table, or one of its sets.
type tableSet struct {
	name      string
	id        uint32 // within a transaction
	kind      setKind
	direction accounting.Direction
	family    family // of the address in a key
}

// setKind is what the elements of a set are.
type setKind int

const (
	portCounters   setKind = iota // from protocol and port to a counter
	targetCounters                // from address, protocol and port to a counter
	hostAddresses                 // addresses of this host, which lead to nothing
)

// family is a family of addresses as a key begins with them, zero for a key without.
type family struct {
	protocol byte   // NFPROTO_*
	length   int    // of an address
	dataType uint32 // of nft's concatenation
	text     string // how nft lists that
}

var (
	ipv4 = family{unix.NFPROTO_IPV4, 4, typeIPv4Address, "ipv4_addr"}
	ipv6 = family{unix.NFPROTO_IPV6, 16, typeIPv6Address, "ipv6_addr"}
)

// allSets are all maps that the table can have. The names of the first two have a prefix
// because in and out were keywords of nft up to 0.9.8.
var allSets = [...]tableSet{
	{"ports-in", 1, portCounters, accounting.In, family{}},
	{"ports-out", 2, portCounters, accounting.Out, family{}},
	{"forward-ip-in", 3, targetCounters, accounting.In, ipv4},
	{"forward-ip-out", 4, targetCounters, accounting.Out, ipv4},
	{"forward-ip6-in", 5, targetCounters, accounting.In, ipv6},
	{"forward-ip6-out", 6, targetCounters, accounting.Out, ipv6},
	{"host-ip", 7, hostAddresses, accounting.In, ipv4},
	{"host-ip6", 8, hostAddresses, accounting.In, ipv6},
}

var portMaps, forwardMaps, hostSets = allSets[:2], allSets[2:6], allSets[6:]

func familyOf(address netip.Addr) family {
	if address.Is4() {
		return ipv4
	}
	return ipv6
}

// hostSet returns the set of the host's addresses of a family.
func hostSet(f family) tableSet {
	if f == ipv4 {
		return hostSets[0]
	}
	return hostSets[1]
}

// portMap returns the map from protocol and port to counter of a direction.
func portMap(d accounting.Direction) tableSet { return portMaps[d] }

// keyLength is the length of a key as the kernel holds it: each field padded to
// four bytes.
func (m tableSet) keyLength() int {
	if m.kind == hostAddresses {
		return m.family.length
	}
	return m.family.length + len(elementKey{})
}

// keyType is the type of a key as nft composes it.
func (m tableSet) keyType() uint32 {
	if m.kind == hostAddresses {
		return m.family.dataType
	}
	return m.family.dataType<<(2*typeBits) | mapKeyType
}

// text returns what the map is and its type, as nft lists them.
func (m tableSet) text() (kind, keyType string) {
	const text = "inet_proto . inet_service : counter"
	switch m.kind {
	case hostAddresses:
		return "set", m.family.text
	case portCounters:
		return "map", text
	}
	return "map", m.family.text + " . " + text
}

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
