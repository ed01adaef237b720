package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// readLength is more than the kernel puts into one datagram of a dump, about
	// 32 KiB. Reading in smaller pieces makes a dump quadratic much sooner: the
	// kernel walks its list from the head for each datagram.
	readLength = 64 << 10
	// receiveBuffer has room for the answers to singlesPerSend requests and for
	// thousands of refusals.
	receiveBuffer = 8 << 20
	// answerTimeout bounds the wait for an answer. The kernel answers within the
	// send, so only a broken kernel exceeds it.
	answerTimeout = 10 * time.Second
	// sendOverhead is what the send buffer has to have beyond a datagram:
	//
	//	if (len > sk->sk_sndbuf - 32)
	//
	// in netlink_sendmsg of net/netlink/af_netlink.c.
	sendOverhead = 32
)

// conn is a netlink socket and the buffer that all answers are read into. An
// owned table belongs to the socket. conn is not safe for concurrent use.
//
// NETLINK_CAP_ACK stays off, although every error then echoes the whole message
// that was refused: the sequence number in the echo shows which one it was.
type conn struct {
	fd       int
	buffer   []byte
	room     int    // length of the longest datagram that can be sent; 0: not known yet
	sequence uint32 // of the last message that was sent

	lookup tableLookup

	// beforeSend runs before each send. Tests change the ruleset in it.
	beforeSend func()
	// sendLimit bounds the send buffer as net.core.wmem_max does. Only tests set it.
	sendLimit int
}

// dial opens the socket in the network namespace of a file descriptor, 0 for
// that of the calling thread.
//
// Go's poller does not watch the socket. It would wake a thread for every
// datagram of a dump, although the kernel has each one ready in advance, and
// readings would take up to a fifth longer.
func dial(namespace int) (*conn, error) {
	watched, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: namespace})
	if err != nil {
		return nil, openError(err)
	}
	fd, err := unwatched(watched)
	if err := errors.Join(err, watched.Close()); err != nil {
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	c := &conn{fd: fd, buffer: make([]byte, readLength)}
	c.lookup.prepare()
	return c, nil
}

// openError explains why there is no socket. Without a family of sockets, the word of
// another one would mislead.
func openError(err error) error {
	const opening = "opening the netlink socket"
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return &OpError{Op: opening, Err: unix.EAFNOSUPPORT, Reason: errNoNetlink}
	}
	return readError(opening, err)
}

// unwatched returns a blocking file descriptor of the socket.
func unwatched(watched *netlink.Conn) (fd int, err error) {
	raw, err := watched.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(watched uintptr) {
		fd, failed = unix.FcntlInt(watched, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	if err := errors.Join(
		watched.SetReadBuffer(receiveBuffer),
		unix.SetNonblock(fd, false),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
	); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func (c *conn) close() error {
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("closing the netlink socket: %w", err)
	}
	return nil
}

// number gives each message of a datagram a new sequence number and returns the
// first one. The numbers show which message an answer belongs to, and that a late
// answer belongs to none of them.
func (c *conn) number(datagram []byte) (first uint32) {
	first = c.sequence + 1
	for at := 0; at < len(datagram); at += nlaAlign(int(binary.NativeEndian.Uint32(datagram[at:]))) {
		c.sequence++
		binary.NativeEndian.PutUint32(datagram[at+8:], c.sequence)
	}
	return first
}

// send numbers the messages of a datagram and writes it. The kernel handles
// them before send returns.
func (c *conn) send(datagram []byte) (first uint32, err error) {
	if c.beforeSend != nil {
		c.beforeSend()
	}
	first = c.number(datagram)
	if hasRoom, err := c.makeRoom(len(datagram)); err != nil {
		return first, err
	} else if !hasRoom {
		return first, fmt.Errorf("the netlink socket takes %d bytes at once: set net.core.wmem_max to %d on the host: %w",
			c.room, len(datagram), unix.EMSGSIZE)
	}
	for {
		_, err = unix.Write(c.fd, datagram)
		if !errors.Is(err, unix.EINTR) {
			return first, err
		}
	}
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
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, need); err != nil {
		err = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, need)
		if err != nil {
			return false, fmt.Errorf("making room for %d bytes in the netlink socket: %w", need, err)
		}
	}
	size, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF) // up to twice what was requested
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

// receive waits for the next datagram. It is valid until the next call.
func (c *conn) receive() ([]byte, error) {
	for {
		n, err := unix.Read(c.fd, c.buffer)
		switch {
		case err == nil:
			return c.buffer[:n], nil
		case errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("the kernel has not answered for %s: %w", answerTimeout, err)
		case !errors.Is(err, unix.EINTR):
			return nil, err
		}
	}
}

// receiveNow returns the next datagram, or nil if none is waiting.
func (c *conn) receiveNow() ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buffer, unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			return c.buffer[:n], nil
		case errors.Is(err, unix.EAGAIN):
			return nil, nil
		case !errors.Is(err, unix.EINTR):
			return nil, err
		}
	}
}

// drain discards the rest of an answer that was not read to its end.
func (c *conn) drain() {
	for {
		datagram, err := c.receiveNow()
		if err == nil && len(datagram) == 0 || err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// dump sends a request and passes each message of the answer to visit, in the
// kernel's order.
//
// The kernel flags a dump during which the ruleset changed (NLM_F_DUMP_INTR).
// But a dump without the flag may lack entries, and one with it may be complete:
// a caller that needs a complete dump must know what belongs in it.
func (c *conn) dump(req []byte, visit func(message) error) (err error) {
	first, err := c.send(req)
	if err != nil {
		return err
	}
	for done := false; !done; {
		datagram, err := c.receive()
		if err == nil {
			done, err = visitDump(datagram, first, visit)
		}
		if err != nil {
			c.drain()
			return err
		}
	}
	return nil
}

func visitDump(datagram []byte, sequence uint32, visit func(message) error) (done bool, err error) {
	for len(datagram) > 0 {
		var m message
		if m, datagram, err = nextMessage(datagram); err != nil {
			return false, err
		}
		if m.sequence() != sequence {
			continue
		}
		if m.typ() == unix.NLMSG_ERROR || m.typ() == unix.NLMSG_DONE {
			if errno := m.errno(); errno != 0 {
				return true, errno
			}
			return true, nil
		}
		if err := visit(m); err != nil {
			return false, err
		}
	}
	return false, nil
}

// get sends requests that are answered by one message each, and passes the answers to
// visit. What does not exist is omitted.
func (c *conn) get(reqs []byte, visit func(message) error) error {
	first, err := c.send(reqs)
	if err != nil {
		return err
	}
	count := c.sequence - first + 1
	for answers := uint32(0); answers < count; {
		datagram, err := c.receive()
		for err == nil && len(datagram) > 0 {
			var m message
			if m, datagram, err = nextMessage(datagram); err != nil || m.sequence()-first >= count {
				continue
			}
			answers++
			if m.typ() != unix.NLMSG_ERROR {
				err = visit(m)
			} else if errno := m.errno(); errno != unix.ENOENT {
				err = errno
			}
		}
		if err != nil {
			c.drain()
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
		c.drain()
		return fmt.Errorf("sending %d bytes of changes: %w", len(b.buffer), err)
	}
	refused := &batchError{}
	for {
		answer, err := c.receiveNow()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// Only refusals are answered, so the answers that found no room
			// in the socket were refusals.
			refused.lost = true
		case err != nil:
			c.drain()
			return fmt.Errorf("reading the kernel's answer: %w", err)
		case len(answer) == 0:
			return refused.orNil()
		default:
			if err := refused.add(b, first, answer); err != nil {
				c.drain()
				return err
			}
		}
	}
}
