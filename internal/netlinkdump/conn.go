// Package netlinkdump reads the lists that the kernel sends over netlink. It allocates
// nothing per entry.
package netlinkdump

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Errors for errors.Is.
var (
	// ErrInterrupted says that the list changed while it was read. Some entries may
	// not have been visited.
	ErrInterrupted = errors.New("the kernel's list changes faster than it can be read")
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
)

// Conn is a netlink socket and the buffer that answers are read into. It is not safe
// for concurrent use.
type Conn struct {
	netlink *netlink.Conn
	raw     syscall.RawConn
	buffer  []byte

	// onReceive runs after each datagram. Tests change it and fail in it.
	onReceive func(datagram []byte) error

	// Of the read that is going on. The function is made once, since it would be
	// allocated for each datagram.
	read     func(fd uintptr) (done bool)
	wait     bool
	received int
	failed   error
}

// Open opens a socket of a netlink protocol in the network namespace of the calling
// thread.
func Open(protocol int) (*Conn, error) {
	conn, err := netlink.Dial(protocol, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the netlink socket: %w", err), conn.Close())
	}
	c := &Conn{netlink: conn, raw: raw, buffer: make([]byte, readLength)}
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

// Visit requests a list and passes each message of the answer to visit, which must not
// keep the payload. It fails with the kernel's error number if the kernel refuses.
func (c *Conn) Visit(messageType uint16, request []byte, visit func(messageType uint16, payload []byte)) error {
	if err := c.netlink.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	sent, err := c.netlink.Send(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(messageType), Flags: netlink.Request | netlink.Dump},
		Data:   request,
	})
	if err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	for done := false; !done; {
		datagram, err := c.receive(true)
		if err == nil {
			done, err = visitDatagram(datagram, sent.Header.Sequence, visit)
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
