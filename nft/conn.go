package nft

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// bufferSize is what the kernel fills a dump's datagrams up to (it stops at
// about 32 KiB) with room to spare. Reading in small pieces makes a dump
// quadratic much sooner: the kernel walks its list from the head for each.
const bufferSize = 64 << 10

// answerTimeout bounds a wait for the kernel. It answers within the send, so
// that only a broken kernel ever lets it pass.
const answerTimeout = 10 * time.Second

// conn is two netlink sockets and the one buffer that all answers are read into.
// Changes go over the one that google/nftables has too, so that a table belongs
// to both; what only asks goes over the other. It is not safe for concurrent use.
type conn struct {
	library *nftables.Conn
	netlink *netlink.Conn
	raw     syscall.RawConn
	asking  int // file descriptor of the socket that only asks
	buffer  []byte

	writeBuffer int // bytes that a datagram may have at present

	// The callbacks of raw and what they work on, stored once: a closure made
	// at each call would allocate.
	readReady, writeOnce func(fd uintptr) bool
	datagram             []byte // to write
	n                    int
	err                  error
}

// dial opens the sockets. It leaves NETLINK_CAP_ACK off, though errors then echo
// the message that they are about: mdlayher/netlink v1.11.2 loses the number of
// an error that is cut short. namespace is a file descriptor of a network namespace,
// 0 for that of the calling thread.
func dial(namespace int) (*conn, error) {
	c := &conn{buffer: make([]byte, bufferSize)}
	library, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(namespace),
		nftables.WithSockOptions(func(n *netlink.Conn) error {
			c.netlink = n
			return nil
		}))
	if err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil, ErrNoNFTables
		}
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	c.library = library
	if c.asking, err = dialBlocking(namespace); err != nil {
		return nil, errors.Join(err, library.CloseLasting())
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *conn) prepare() error {
	raw, err := c.netlink.SyscallConn()
	if err != nil {
		return fmt.Errorf("preparing the netlink socket: %w", err)
	}
	c.raw = raw
	c.readReady = func(fd uintptr) bool {
		c.n, c.err = unix.Read(int(fd), c.buffer)
		return true
	}
	c.writeOnce = func(fd uintptr) bool {
		_, c.err = unix.Write(int(fd), c.datagram)
		return !errors.Is(c.err, unix.EAGAIN)
	}
	return nil
}

// dialBlocking opens a netlink socket that Go's poller does not watch. The poller
// would wake a thread at every datagram of a dump, though the kernel has each
// ready before it is asked for, which makes a reading up to a fifth slower.
func dialBlocking(namespace int) (fd int, err error) {
	watched, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: namespace})
	if err != nil {
		return 0, fmt.Errorf("opening the netlink socket to read from: %w", err)
	}
	defer func() { err = errors.Join(err, watched.Close()) }()
	if err := watched.SetReadBuffer(singlesBuffer); err != nil {
		return 0, fmt.Errorf("making room for answers in the netlink socket: %w", err)
	}
	raw, err := watched.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("opening the netlink socket to read from: %w", err)
	}
	var failed error
	if err := raw.Control(func(watched uintptr) {
		fd, failed = unix.FcntlInt(watched, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil || failed != nil {
		return 0, fmt.Errorf("opening the netlink socket to read from: %w", errors.Join(err, failed))
	}
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	if err := errors.Join(
		unix.SetNonblock(fd, false),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
	); err != nil {
		return 0, fmt.Errorf("preparing the netlink socket to read from: %w", errors.Join(err, unix.Close(fd)))
	}
	return fd, nil
}

func (c *conn) close() error {
	if err := errors.Join(unix.Close(c.asking), c.library.CloseLasting()); err != nil {
		return fmt.Errorf("closing the netlink socket: %w", err)
	}
	return nil
}

// send writes one datagram. The kernel handles it before send returns.
func (c *conn) send(datagram []byte) error {
	if need := len(datagram) + 4096; need > c.writeBuffer {
		// A batch is one datagram, and a datagram has to fit into the buffer.
		if err := c.netlink.SetWriteBuffer(need); err != nil {
			return fmt.Errorf("making room for %d bytes in the netlink socket: %w", need, err)
		}
		c.writeBuffer = need
	}
	c.datagram = datagram
	err := c.raw.Write(c.writeOnce)
	c.datagram = nil
	return errors.Join(err, c.err)
}

// receive returns the kernel's next answer to a change. It is good until the next
// call; an empty one says that there is none.
func (c *conn) receive() ([]byte, error) {
	if err := c.raw.Read(c.readReady); err != nil {
		return nil, err
	}
	if errors.Is(c.err, unix.EAGAIN) {
		return nil, nil
	}
	return c.buffer[:max(c.n, 0)], c.err
}

// drain throws away what a change that broke off may have left behind.
func (c *conn) drain() {
	for {
		datagram, err := c.receive()
		if err == nil && len(datagram) == 0 || err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// ask writes a request that changes nothing.
func (c *conn) ask(request []byte) error {
	_, err := unix.Write(c.asking, request)
	return err
}

// answer waits for the next datagram in answer to ask. It is good until the next
// call.
func (c *conn) answer() ([]byte, error) {
	for {
		n, err := unix.Read(c.asking, c.buffer)
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

// drainAnswers throws away what is left of an answer that was not read to its end.
func (c *conn) drainAnswers() {
	for {
		n, _, err := unix.Recvfrom(c.asking, c.buffer, unix.MSG_DONTWAIT)
		if err == nil && n == 0 || err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// dump sends a request and hands each message of the answer to visit, in the
// order of the kernel. interrupted says that the kernel flagged the dump: the
// ruleset, anybody's, changed under it, and entries may be missing or twice.
// The flag can stand on any message or on the last one, NLMSG_DONE, alone.
func (c *conn) dump(request []byte, visit func(message) error) (interrupted bool, err error) {
	if err := c.ask(request); err != nil {
		return false, err
	}
	for {
		datagram, err := c.answer()
		if err != nil {
			c.drainAnswers()
			return interrupted, err
		}
		for len(datagram) > 0 {
			var m message
			if m, datagram, err = nextMessage(datagram); err != nil {
				c.drainAnswers()
				return interrupted, err
			}
			interrupted = interrupted || m.flags()&unix.NLM_F_DUMP_INTR != 0
			switch m.kind() {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if number := m.errorNumber(); number != 0 {
					return interrupted, number
				}
				return interrupted, nil
			default:
				if err := visit(m); err != nil {
					c.drainAnswers()
					return interrupted, err
				}
			}
		}
	}
}

// get sends requests that are answered by one message each, hands the answers
// to visit and the refusals to refused, by the sequence of the request.
func (c *conn) get(requests []byte, count int, visit func(message) error, refused func(uint32, unix.Errno) error) error {
	if err := c.ask(requests); err != nil {
		return err
	}
	for answers := 0; answers < count; {
		datagram, err := c.answer()
		for err == nil && len(datagram) > 0 {
			var m message
			if m, datagram, err = nextMessage(datagram); err != nil {
				break
			}
			answers++
			if m.kind() == unix.NLMSG_ERROR {
				err = refused(m.sequence(), m.errorNumber())
			} else {
				err = visit(m)
			}
		}
		if err != nil {
			c.drainAnswers()
			return err
		}
	}
	return nil
}

// commit sends a batch. On an error nothing of it was applied: the kernel
// checks every message and reports each one that it refuses.
func (c *conn) commit(b *batch) error {
	datagram := b.finish()
	if err := c.send(datagram); err != nil {
		c.drain()
		return fmt.Errorf("sending %d bytes of changes: %w", len(datagram), err)
	}
	refused := &batchError{}
	for {
		answer, err := c.receive()
		if errors.Is(err, unix.ENOBUFS) {
			continue // more refusals than the socket holds: those that it holds say enough
		}
		if err != nil {
			return fmt.Errorf("reading the kernel's answer: %w", err)
		}
		if len(answer) == 0 {
			break
		}
		if err := refused.add(datagram, answer); err != nil {
			return err
		}
	}
	if len(refused.failures) > 0 {
		return refused
	}
	return nil
}
