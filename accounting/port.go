package accounting

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
)

// Protocol is a transport protocol by its IANA number.
type Protocol uint8

// The protocols that are counted.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// String returns the name that nft and /etc/protocols use: tcp or udp.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol-%d", uint8(p))
}

// ParsePort reads the number of a port, which has digits only. The error is an
// [*InvalidError].
func ParsePort(text string) (uint16, error) {
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return 0, &InvalidError{Name: "port", Text: text, Want: "a number from 1 to 65535"}
	}
	return uint16(number), nil
}

// Protocols is a set of protocols.
type Protocols uint8

// The sets that a port can be counted for.
const (
	OnlyTCP Protocols = 1 << iota
	OnlyUDP
	TCPAndUDP = OnlyTCP | OnlyUDP
)

// Has reports whether p is in the set.
func (s Protocols) Has(p Protocol) bool {
	switch p {
	case TCP:
		return s&OnlyTCP != 0
	case UDP:
		return s&OnlyUDP != 0
	}
	return false
}

// All yields the protocols in the set, in the order of their numbers.
func (s Protocols) All() iter.Seq[Protocol] {
	return func(yield func(Protocol) bool) {
		for _, protocol := range [...]Protocol{TCP, UDP} {
			if s.Has(protocol) && !yield(protocol) {
				return
			}
		}
	}
}

// Direction is the direction of traffic, seen from the server.
type Direction uint8

// In is what clients send to the port, Out what the port sends to clients.
const (
	In Direction = iota
	Out
)

// String returns in or out.
func (d Direction) String() string {
	if d == In {
		return "in"
	}
	return "out"
}

// Key names one counter: a port, a protocol and a direction.
type Key struct {
	Port      uint16
	Protocol  Protocol
	Direction Direction
}

// String returns the counter's name in the kernel: PROTO-PORT-DIRECTION, as in
// tcp-20000-in. It begins with a letter because nft can't load a listing in which
// a name begins with a digit.
func (k Key) String() string { return string(k.AppendText(nil)) }

// AppendText appends what String returns to b and returns the extended slice.
func (k Key) AppendText(b []byte) []byte {
	b = append(append(b, k.Protocol.String()...), '-')
	b = strconv.AppendUint(b, uint64(k.Port), 10)
	return append(append(b, '-'), k.Direction.String()...)
}

// Compare orders keys by port, protocol and direction.
func (k Key) Compare(other Key) int {
	if k.Port != other.Port {
		return int(k.Port) - int(other.Port)
	}
	if k.Protocol != other.Protocol {
		return int(k.Protocol) - int(other.Protocol)
	}
	return int(k.Direction) - int(other.Direction)
}

// Port is a local port whose traffic is counted.
type Port struct {
	Number    uint16
	Protocols Protocols
	Name      string // of the client; empty if no source gives one
	// Published reports whether the host forwards what clients send to the port,
	// as it does for the ports that a container engine publishes.
	Published bool
}

// Keys appends the port's counters in the order of [Key.Compare] and returns
// the extended slice.
func (p Port) Keys(keys []Key) []Key {
	for protocol := range p.Protocols.All() {
		keys = append(keys,
			Key{p.Number, protocol, In},
			Key{p.Number, protocol, Out})
	}
	return keys
}

// Ports is a list of ports, sorted by number, each number once. [Union] makes
// one from lists in any order.
type Ports []Port

// Keys returns the counters of all ports in the order of [Key.Compare].
func (ports Ports) Keys() []Key {
	keys := make([]Key, 0, 4*len(ports))
	for _, port := range ports {
		keys = port.Keys(keys)
	}
	return keys
}

// Find returns the port with the number, if it is in the list.
func (ports Ports) Find(number uint16) (Port, bool) {
	i, found := slices.BinarySearchFunc(ports, number, func(p Port, n uint16) int {
		return int(p.Number) - int(n)
	})
	if !found {
		return Port{}, false
	}
	return ports[i], true
}

// changes compares the list with the next one. It returns the ports that are new
// and those that are gone, each with the protocols concerned.
func (ports Ports) changes(next Ports) (added, removed Ports) {
	before := ports
	for len(before) > 0 || len(next) > 0 {
		switch {
		case len(next) == 0 || len(before) > 0 && before[0].Number < next[0].Number:
			removed, before = append(removed, before[0]), before[1:]
		case len(before) == 0 || next[0].Number < before[0].Number:
			added, next = append(added, next[0]), next[1:]
		default:
			was, is := before[0], next[0]
			if more := is.Protocols &^ was.Protocols; more != 0 {
				added = append(added, Port{Number: is.Number, Protocols: more, Name: is.Name})
			}
			if fewer := was.Protocols &^ is.Protocols; fewer != 0 {
				removed = append(removed, Port{Number: was.Number, Protocols: fewer, Name: was.Name})
			}
			before, next = before[1:], next[1:]
		}
	}
	return added, removed
}

// NameConflict is a port to which two sources give different names.
type NameConflict struct {
	Port uint16
	Kept string // the name in the merged list
	Lost string // the other name
}

// Union merges lists of ports, which need not be sorted. A port that is in
// several lists is counted for the protocols of all of them and keeps the first
// name that is not empty. Other names for the same port are returned as
// conflicts, sorted by port.
func Union(lists ...[]Port) (Ports, []NameConflict) {
	var conflicts []NameConflict
	var all Ports
	for _, list := range lists {
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b Port) int { return int(a.Number) - int(b.Number) })
	merged := all[:0]
	for _, port := range all {
		if len(merged) == 0 || merged[len(merged)-1].Number != port.Number {
			merged = append(merged, port)
			continue
		}
		kept := &merged[len(merged)-1]
		kept.Protocols |= port.Protocols
		kept.Published = kept.Published || port.Published
		switch {
		case kept.Name == "":
			kept.Name = port.Name
		case port.Name != "" && port.Name != kept.Name:
			conflicts = append(conflicts, NameConflict{port.Number, kept.Name, port.Name})
		}
	}
	return merged, conflicts
}

// ConnectionsVisible reports whether the connections of the port can be counted:
// UDP has none, and those of a published port are in the network namespace of its
// container.
func (p Port) ConnectionsVisible() bool { return p.Protocols.Has(TCP) && !p.Published }
