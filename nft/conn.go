package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/netlink"
)

const (
	// receiveBuffer has room for the answers to requestsPerDatagram requests and for
	// thousands of refusals.
	receiveBuffer = 8 << 20
	// sendOverhead is what the send buffer has to have beyond a datagram:
	//
	//	if (len > sk->sk_sndbuf - 32)
	//
	// in netlink_sendmsg of net/netlink/af_netlink.c.
	sendOverhead = 32
)

// conn is a netlink socket. An owned table belongs to it.
//
// NETLINK_CAP_ACK stays off, although every error then echoes the whole message
// that was refused: the sequence number in the echo shows which one it was.
type conn struct {
	*netlink.Conn
	room int // length of the longest datagram that can be sent; 0: not known yet

	lookup   tableLookup
	progress func() // runs in each step of what may take many

	// beforeSend runs before each send. Tests change the ruleset in it.
	beforeSend func()
	// sendLimit bounds the send buffer as net.core.wmem_max does. Only tests set it.
	sendLimit int
}

// dial opens the socket in the network namespace of the calling thread. Without a
// family of sockets, the word of another one would mislead.
func dial() (*conn, error) {
	const opening = "opening the netlink socket"
	socket, err := netlink.Open(unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, &OpError{Op: opening, Err: unix.EAFNOSUPPORT, Reason: errNoNetlink}
	}
	if err != nil {
		return nil, readError(opening, err)
	}
	c := &conn{Conn: socket}
	if err := c.setBuffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", opening, err), c.Close())
	}
	c.lookup.prepare()
	c.progress = func() {}
	return c, nil
}

// setBuffer sets a size beyond the host's limit if it may, otherwise up to that.
func (c *conn) setBuffer(beyondLimit, upToLimit, size int) error {
	if err := unix.SetsockoptInt(c.FD, unix.SOL_SOCKET, beyondLimit, size); err == nil {
		return nil
	}
	return unix.SetsockoptInt(c.FD, unix.SOL_SOCKET, upToLimit, size)
}

// send writes a datagram of messages and returns the number of the first one.
func (c *conn) send(datagram []byte) (first uint32, err error) {
	if c.beforeSend != nil {
		c.beforeSend()
	}
	if hasRoom, err := c.makeRoom(len(datagram)); err != nil {
		return 0, err
	} else if !hasRoom {
		return 0, fmt.Errorf("the netlink socket takes %d bytes at once: set net.core.wmem_max to %d on the host: %w",
			c.room, len(datagram), unix.EMSGSIZE)
	}
	return c.Send(datagram)
}

// makeRoom enlarges the send buffer for a datagram of the length, and reports
// whether it fits. A batch is one datagram. Without CAP_NET_ADMIN over the host, as in
// an unprivileged container, net.core.wmem_max is the limit.
func (c *conn) makeRoom(length int) (fits bool, err error) {
	if length <= c.room {
		return true, nil
	}
	need := length + sendOverhead
	if c.sendLimit > 0 {
		need = min(need, c.sendLimit)
	}
	if err := c.setBuffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, need); err != nil {
		return false, fmt.Errorf("making room for %d bytes in the netlink socket: %w", need, err)
	}
	size, err := unix.GetsockoptInt(c.FD, unix.SOL_SOCKET, unix.SO_SNDBUF) // up to twice what was requested
	if err != nil {
		return false, fmt.Errorf("looking up the netlink socket's send buffer: %w", err)
	}
	c.room = size - sendOverhead
	return length <= c.room, nil
}

// fits reports whether a batch can be sent.
func (c *conn) fits(b *batch) bool {
	b.finish()
	fits, err := c.makeRoom(len(b.buffer))
	return fits && err == nil
}

// dump sends a request and passes each message of the answer to visit, in the
// kernel's order.
//
// The kernel flags a dump during which the ruleset changed (NLM_F_DUMP_INTR).
// But a dump without the flag may lack entries, and one with it may be complete:
// a caller that needs a complete dump must know what belongs in it.
func (c *conn) dump(req []byte, visit func(netlink.Message) error) error {
	first, err := c.send(req)
	if err == nil {
		err = c.ReceiveDump(first, visit)
	}
	if errors.Is(err, netlink.ErrInterrupted) {
		return nil
	}
	return err
}

// get sends requests that are answered by one message each, and passes the answers to
// visit. What does not exist is omitted.
func (c *conn) get(reqs []byte, visit func(netlink.Message) error) error {
	first, err := c.send(reqs)
	if err != nil {
		return err
	}
	count := c.Sequence - first + 1
	for answers := uint32(0); answers < count; {
		datagram, err := c.Receive()
		for err == nil && len(datagram) > 0 {
			var m netlink.Message
			if m, datagram, err = netlink.Next(datagram); err != nil || m.Sequence()-first >= count {
				continue
			}
			answers++
			if m.Type() != unix.NLMSG_ERROR {
				err = visit(m)
			} else if errno := m.Errno(); errno != unix.ENOENT {
				err = errno
			}
		}
		if err != nil {
			c.Drain()
			return err
		}
	}
	return nil
}

// commit sends a batch. After an error none of it is applied: the kernel checks
// every message and reports each one that it refuses.
func (c *conn) commit(b *batch) error {
	b.finish()
	first, err := c.send(b.buffer)
	if err != nil {
		c.Drain()
		return fmt.Errorf("sending %d bytes of changes: %w", len(b.buffer), err)
	}
	refused := &batchError{}
	for {
		answer, err := c.ReceiveNow()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// Only refusals are answered, so the answers that found no room
			// in the socket were refusals.
			refused.lost = true
		case err != nil:
			c.Drain()
			return fmt.Errorf("reading the kernel's answer: %w", err)
		case len(answer) == 0:
			return refused.orNil()
		default:
			if err := refused.add(b, first, answer); err != nil {
				c.Drain()
				return err
			}
		}
	}
}
