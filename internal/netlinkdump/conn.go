// Package netlinkdump reads the lists that the kernel sends over netlink. It allocates
// nothing per entry.
package netlinkdump

import (
	"errors"
	"fmt"
	"time"

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

// Conn is a netlink socket and the buffer for requests and answers. It is not safe for
// concurrent use.
//
// Go's poller does not watch the socket: the kernel has each datagram ready when the
// one before is read.
type Conn struct {
	fd       int
	buffer   []byte
	sequence uint32 // of the last request

	// onReceive runs after each datagram. Tests fail in it.
	onReceive func() error
}

// Open opens a socket of a netlink protocol in the network namespace of the calling
// thread.
func Open(protocol int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the netlink socket: %w", err), unix.Close(fd))
	}
	return &Conn{fd: fd, buffer: make([]byte, readLength)}, nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	if err := unix.Close(c.fd); err != nil {
		return fmt.Errorf("closing the netlink socket: %w", err)
	}
	return nil
}

// Visit requests a list and passes each message of the answer to visit, which must not
// keep the payload. It fails with the kernel's error number if the kernel refuses.
func (c *Conn) Visit(messageType uint16, request []byte, visit func(messageType uint16, payload []byte)) error {
	c.sequence++
	if _, err := unix.Write(c.fd, appendRequest(c.buffer[:0], messageType, c.sequence, request)); err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	for done := false; !done; {
		datagram, err := c.receive()
		if err == nil {
			done, err = visitDatagram(datagram, c.sequence, visit)
		}
		if err != nil {
			c.drain()
			return err
		}
	}
	return nil
}

// receive waits for the next datagram, which is valid until the next call.
func (c *Conn) receive() ([]byte, error) {
	for {
		n, err := unix.Read(c.fd, c.buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("the kernel has not answered for %s: %w", answerTimeout, err)
		case err == nil && c.onReceive != nil:
			err = c.onReceive()
		}
		return c.buffer[:max(n, 0)], err
	}
}

// drain discards the rest of an answer. The kernel refuses a new dump until the
// one before is read to its end.
func (c *Conn) drain() {
	for {
		_, _, err := unix.Recvfrom(c.fd, c.buffer, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}
