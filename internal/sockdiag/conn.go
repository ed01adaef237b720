package sockdiag

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
)

// Errors for errors.Is.
var (
	// ErrUnsupported says that the kernel can't list sockets.
	ErrUnsupported = errors.New("the kernel can't list sockets: CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG (modules inet_diag and tcp_diag) are needed, and for UDP CONFIG_INET_UDP_DIAG (module udp_diag)")
	// ErrInterrupted says that the kernel's list changed during every attempt to
	// read it.
	ErrInterrupted = errors.New("the connections change faster than they can be listed")
	// ErrMalformed says that an answer from the kernel could not be decoded.
	ErrMalformed = errors.New("malformed answer from the kernel")
)

const (
	// readLength is the most that the kernel puts into one datagram of a dump
	// (netlink_recvmsg in net/netlink/af_netlink.c).
	readLength = 32 << 10
	// answerTimeout bounds the wait for an answer. The kernel answers within the
	// send, so only a broken kernel exceeds it.
	answerTimeout = 10 * time.Second
	// attempts is how often a dump that was interrupted, or for which the
	// socket's buffer was too small, is tried.
	attempts = 3
)

// Conn is a netlink socket and the memory that counting reuses. It is not safe
// for concurrent use.
type Conn struct {
	netlink *netlink.Conn
	raw     syscall.RawConn
	request []byte
	buffer  []byte
	ports   portSet
	seen    map[socket]struct{}

	families []uint8

	// onReceive runs after each datagram. Tests change it and fail in it.
	onReceive func(datagram []byte) error

	// Of the read that is going on. The function is made once, since it would be
	// allocated for each datagram.
	read     func(fd uintptr) (done bool)
	wait     bool
	received int
	failed   error
}

var _ connections.Counter = (*Conn)(nil)

// Open opens the socket in the network namespace of the calling thread. It fails
// with ErrUnsupported if the kernel has no sock_diag. That it lacks only the part
// for TCP is reported by the first count.
func Open() (*Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, ErrUnsupported
	}
	if err != nil {
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the netlink socket: %w", err), conn.Close())
	}
	c := &Conn{
		netlink: conn, raw: raw, families: []uint8{unix.AF_INET, unix.AF_INET6},
		buffer: make([]byte, readLength), seen: make(map[socket]struct{}),
	}
	c.read = func(fd uintptr) bool {
		for {
			c.received, c.failed = unix.Read(int(fd), c.buffer)
			if !errors.Is(c.failed, unix.EINTR) {
				return !c.wait || !errors.Is(c.failed, unix.EAGAIN)
			}
		}
	}
	return c, nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	if err := c.netlink.Close(); err != nil {
		return fmt.Errorf("closing the netlink socket: %w", err)
	}
	return nil
}

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

// Listener is a local port at which programs receive.
type Listener struct {
	Port     uint16
	Loopback bool // at loopback addresses only
}

// Listening returns the local ports at which programs of the network namespace
// receive connections or datagrams, each once and ascending. It fails with
// ErrUnsupported if the kernel can't list the sockets of the protocol.
func (c *Conn) Listening(protocol accounting.Protocol) (listeners []Listener, err error) {
	receivers, err := c.Receivers(protocol)
	remotely := make(map[uint16]bool)
	for _, r := range receivers {
		remotely[r.Port] = remotely[r.Port] || !r.Address.IsLoopback()
	}
	for _, port := range slices.Sorted(maps.Keys(remotely)) {
		listeners = append(listeners, Listener{port, !remotely[port]})
	}
	return listeners, err
}

// Receiver is a socket at which a program receives connections, or datagrams of anybody.
type Receiver struct {
	Port    uint16
	Inode   uint32     // by which /proc names the socket
	Address netip.Addr // that it is bound to; unspecified for any
}

// Receivers returns the sockets of the network namespace at which programs receive. It
// fails as Listening does.
func (c *Conn) Receivers(protocol accounting.Protocol) (found []Receiver, err error) {
	of := kind{uint8(protocol), tcpListen}
	if protocol == accounting.UDP {
		of.state = tcpClose
	}
	err = c.dump(of, portRange{1, 1<<16 - 1}, func() { found = nil }, func(s socket, message []byte) {
		found = append(found, Receiver{s.port, inodeOf(message), netip.AddrFrom16(s.address).Unmap()})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the sockets at which programs listen by %s: %w", protocol, err)
	}
	return found, nil
}

// dump passes the sockets of a kind with local ports in the range to visit. It
// calls begin before each attempt.
func (c *Conn) dump(of kind, ports portRange, begin func(), visit func(socket, []byte)) (err error) {
	for range attempts {
		begin()
		for _, family := range c.families {
			if err = c.dumpFamily(of, family, ports, visit); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrInterrupted) && !errors.Is(err, unix.ENOBUFS) {
			break
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w (%w)", ErrUnsupported, err)
	}
	return err
}

func (c *Conn) dumpFamily(of kind, family uint8, ports portRange, visit func(socket, []byte)) error {
	if err := c.netlink.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	c.request = appendRequest(c.request[:0], of, family, ports)
	sent, err := c.netlink.Send(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   c.request,
	})
	if err != nil {
		return err
	}
	for done := false; !done; {
		datagram, err := c.receive(true)
		if err == nil {
			done, err = visitDump(datagram, sent.Header.Sequence, of.state, visit)
		}
		if err != nil {
			c.drain()
			return err
		}
	}
	return nil
}

// receive returns the next datagram, which is valid until the next call. If none
// is waiting, it waits or fails with EAGAIN.
func (c *Conn) receive(wait bool) ([]byte, error) {
	c.wait, c.received, c.failed = wait, 0, nil
	if err := c.raw.Read(c.read); err != nil {
		return nil, fmt.Errorf("waiting for the kernel's answer: %w", err)
	}
	if c.failed != nil {
		return nil, c.failed
	}
	datagram := c.buffer[:c.received]
	if wait && c.onReceive != nil {
		return datagram, c.onReceive(datagram)
	}
	return datagram, nil
}

// drain discards the rest of an answer. The kernel refuses a new dump until the
// one before is read to its end.
func (c *Conn) drain() {
	for {
		if _, err := c.receive(false); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}
