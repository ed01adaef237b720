package usage

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Client is a client of a port, from one time to another.
type Client struct {
	Port  uint16
	Name  string    // empty if the port has no name
	Since time.Time // zero: since the port has been counted
	Until time.Time // zero: it has the port now
}

// ID identifies the client.
func (c Client) ID() ClientID { return ClientOf(c.Name, c.Port) }

// ClientID identifies a client in reports, queries and limits: by its name, whatever ports
// it has, or by its port if it has no name.
type ClientID struct {
	Name string
	Port uint16 // 0 if there is a name
}

// Past selects clients that have no port any more.
type Past struct {
	Name        string // empty: those without a name
	First, Last uint16 // ports that they had
}

// Has reports whether the client is one of them.
func (p Past) Has(client Client) bool {
	return client.Name == p.Name && p.First <= client.Port && client.Port <= p.Last && client.Port > 0 && !client.Until.IsZero()
}

// Forgotten identifies all clients that were forgotten, as one.
var Forgotten = ClientID{}

// forgottenLabel is the label of Forgotten. A client of that name is another one.
const forgottenLabel = "forgotten"

// ClientOf returns the client of a port, whose name may be empty.
func ClientOf(name string, port uint16) ClientID {
	if name != "" {
		port = 0
	}
	return ClientID{name, port}
}

// portPrefix begins the label of a client without a name; its port follows.
const portPrefix = "port "

// Label returns what reports show for the client.
func (c ClientID) Label() string {
	switch {
	case c.Name != "":
		return c.Name
	case c == Forgotten:
		return forgottenLabel
	}
	return portPrefix + strconv.Itoa(int(c.Port))
}

// Compare orders names as people look them up, followed by the ports without
// a name in the order of their numbers.
func (c ClientID) Compare(other ClientID) int {
	return cmp.Or(
		cmp.Compare(c.Port, other.Port),
		strings.Compare(strings.ToLower(c.Name), strings.ToLower(other.Name)),
		strings.Compare(c.Name, other.Name),
	)
}
