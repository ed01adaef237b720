package usage

import (
	"cmp"
	"strconv"
	"strings"
)

// Identity is what reports tell clients apart by: a name, or the port of a client
// without one.
type Identity struct {
	name string
	port uint16 // 0 with a name
}

// Identify returns the identity of who has the name, which may be empty, on a port.
func Identify(name string, port uint16) Identity {
	if name != "" {
		port = 0
	}
	return Identity{name, port}
}

// PortPrefix begins the label of a client without a name; its port follows.
const PortPrefix = "port "

// Label returns the text under which reports show the client.
func (i Identity) Label() string {
	if i.port == 0 {
		return i.name
	}
	return PortPrefix + strconv.Itoa(int(i.port))
}

// Compare orders names as people look them up, followed by the ports without
// a name in the order of their numbers.
func (i Identity) Compare(other Identity) int {
	return cmp.Or(
		cmp.Compare(i.port, other.port),
		strings.Compare(strings.ToLower(i.name), strings.ToLower(other.name)),
		strings.Compare(i.name, other.name),
	)
}
