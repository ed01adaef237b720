package sockdiag

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/internal/netlink"
)

// ErrUnsupported says that the kernel can't list sockets.
var ErrUnsupported = errors.New("the kernel can't list sockets: CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG (modules inet_diag and tcp_diag) are needed, and for UDP CONFIG_INET_UDP_DIAG (module udp_diag)")

// attempts is how often a dump that was interrupted, or for which the socket's buffer
// was too small, is tried.
const attempts = 3

// dumper is a *netlink.Conn.
type dumper interface {
	Visit(messageType uint16, request []byte, visit func(messageType uint16, payload []byte)) error
	Close() error
}

// Conn is a netlink socket and the memory that counting reuses. It is not safe
// for concurrent use.
type Conn struct {
	dumper  dumper
	request []byte
	ports   portSet
	seen    map[socket]struct{}
}

var _ connections.Counter = (*Conn)(nil)

// Open opens the socket in the network namespace of the calling thread. It fails
// with ErrUnsupported if the kernel has no sock_diag. That it lacks only the part
// for TCP is reported by the first count.
func Open() (*Conn, error) {
	conn, err := netlink.Open(unix.NETLINK_SOCK_DIAG)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, ErrUnsupported
	}
	if err != nil {
		return nil, err
	}
	return &Conn{dumper: conn, seen: make(map[socket]struct{})}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return c.dumper.Close() }

// Count returns the connections of each port, in the order of the ports, which
// must be ascending. It reuses the slice. A connection belongs to its local port; IPv4-mapped IPv6 addresses
// count as the IPv4 address. Count fails with ErrUnsupported if the kernel can't
// list connections.
func (c *Conn) Count(ports []uint16, reuse []accounting.Connections) ([]accounting.Connections, error) {
	counts := slices.Grow(reuse[:0], len(ports))[:len(ports)]
	c.ports.set(ports)
	begin := func() {
		for i := range ports {
			counts[i] = accounting.Connections{Known: true}
		}
		clear(c.seen)
	}
	if len(ports) == 0 {
		return counts, nil
	}
	err := c.dump(connected, portRange{ports[0], ports[len(ports)-1]}, begin, func(s socket, _ []byte) {
		i, wanted := c.ports.index(s.port)
		if !wanted {
			return
		}
		counts[i].Established++
		before := len(c.seen)
		if c.seen[s] = struct{}{}; len(c.seen) > before {
			counts[i].Addresses++
		}
	})
	if err != nil {
		return nil, fmt.Errorf("counting the connections: %w", err)
	}
	return counts, nil
}

// Remote is an address and how many connections it has to a port.
type Remote struct {
	Address     netip.Addr
	Connections int
}

// Addresses returns the addresses that are connected to a local port, the one with
// the most connections first. An IPv4-mapped IPv6 address is returned as the IPv4
// address. Addresses fails with ErrUnsupported if the kernel can't list
// connections.
func (c *Conn) Addresses(port uint16) ([]Remote, error) {
	found := make(map[[16]byte]int)
	err := c.dump(connected, portRange{port, port}, func() { clear(found) }, func(s socket, _ []byte) { found[s.address]++ })
	if err != nil {
		return nil, fmt.Errorf("listing the addresses that are connected to port %d: %w", port, err)
	}
	remotes := make([]Remote, 0, len(found))
	for address, connections := range found {
		remotes = append(remotes, Remote{netip.AddrFrom16(address).Unmap(), connections})
	}
	slices.SortFunc(remotes, func(a, b Remote) int {
		if a.Connections != b.Connections {
			return b.Connections - a.Connections
		}
		return a.Address.Compare(b.Address)
	})
	return remotes, nil
}

// ListeningSocket is a socket at which a program receives connections, or datagrams of
// anybody.
type ListeningSocket struct {
	Protocol accounting.Protocol
	Port     uint16
	Inode    uint32     // by which /proc names the socket
	Address  netip.Addr // that it is bound to; unspecified for any
}

// ListeningSockets returns the sockets at which programs receive by the protocols, in the
// network namespace of the calling thread. The error is that of the first protocol whose
// sockets can't be listed, ErrUnsupported if the kernel can't; those of the others are
// returned all the same.
func ListeningSockets(protocols accounting.Protocols) (sockets []ListeningSocket, err error) {
	conn, err := Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	for protocol := range protocols.All() {
		listed, failed := conn.listening(protocol)
		sockets, err = append(sockets, listed...), cmp.Or(err, failed)
	}
	return sockets, err
}

func (c *Conn) listening(protocol accounting.Protocol) (found []ListeningSocket, err error) {
	of := kind{uint8(protocol), tcpListen}
	if protocol == accounting.UDP {
		of.state = tcpClose
	}
	err = c.dump(of, portRange{1, 1<<16 - 1}, func() { found = nil }, func(s socket, message []byte) {
		found = append(found, ListeningSocket{protocol, s.port, inodeOf(message), netip.AddrFrom16(s.address).Unmap()})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the sockets at which programs listen by %s: %w", protocol, err)
	}
	return found, nil
}

// dump passes the sockets of a kind with local ports in the range to visit, and their
// messages. It calls begin before each attempt.
func (c *Conn) dump(of kind, ports portRange, begin func(), visit func(socket, []byte)) (err error) {
	visitMessage := func(messageType uint16, message []byte) {
		if s, ok := decodeSocket(message, of.state); ok && messageType == unix.SOCK_DIAG_BY_FAMILY {
			visit(s, message)
		}
	}
	for range attempts {
		begin()
		for _, family := range [...]uint8{unix.AF_INET, unix.AF_INET6} {
			c.request = appendRequest(c.request[:0], of, family, ports)
			if err = c.dumper.Visit(unix.SOCK_DIAG_BY_FAMILY, c.request, visitMessage); err != nil {
				break
			}
		}
		if !errors.Is(err, netlink.ErrInterrupted) && !errors.Is(err, unix.ENOBUFS) {
			break
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w (%w)", ErrUnsupported, err)
	}
	return err
}
