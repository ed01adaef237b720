// Package netlink sends messages to the kernel over netlink and reads its answers. It
// allocates nothing per message.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Errors for errors.Is.
var (
	// ErrInterrupted says that the list changed while it was read: some entries may
	// not have been visited.
	ErrInterrupted = errors.New("the kernel's list changes faster than it can be read")
	// ErrMalformed says that an answer from the kernel could not be decoded.
	ErrMalformed = errors.New("malformed answer from the kernel")
)

const (
	// readLength is more than the kernel puts into one datagram of a dump, about
	// 32 KiB, and has room for a refusal of the longest message of nf_tables. Reading
	// in smaller pieces makes a dump quadratic much sooner: the kernel walks its list
	// from the head for each datagram.
	readLength = 64 << 10
	// answerTimeout bounds the wait for an answer. The kernel answers within the
	// send, so only a broken kernel exceeds it.
	answerTimeout = 10 * time.Second
)

// Conn is a netlink socket and the buffer for answers. It is not safe for concurrent
// use.
//
// Go's poller does not watch the socket. It would wake a thread for every datagram of
// a dump, although the kernel has each one ready in advance, and readings would take
// up to a fifth longer.
type Conn struct {
	FD       int    // of the socket, to set its options
	Sequence uint32 // of the last message that was sent

	buffer  []byte
	request []byte

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
	return &Conn{FD: fd, buffer: make([]byte, readLength)}, nil
}

// Close closes the socket.
func (c *Conn) Close() error {
	if err := unix.Close(c.FD); err != nil {
		return fmt.Errorf("closing the netlink socket: %w", err)
	}
	return nil
}

// Send gives each message of a datagram a new sequence number, writes the datagram and
// returns the first number. The numbers show which message an answer belongs to, and
// that a late answer belongs to none of them. The kernel handles the messages before
// Send returns.
func (c *Conn) Send(datagram []byte) (first uint32, err error) {
	first = c.Sequence + 1
	for at := 0; at < len(datagram); at += Align(int(binary.NativeEndian.Uint32(datagram[at:]))) {
		c.Sequence++
		binary.NativeEndian.PutUint32(datagram[at+8:], c.Sequence)
	}
	for {
		_, err = unix.Write(c.FD, datagram)
		if !errors.Is(err, unix.EINTR) {
			return first, err
		}
	}
}

// Receive waits for the next datagram. It is valid until the next call.
func (c *Conn) Receive() ([]byte, error) {
	for {
		n, err := unix.Read(c.FD, c.buffer)
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

// ReceiveNow returns the next datagram, or nil if none is waiting.
func (c *Conn) ReceiveNow() ([]byte, error) {
	for {
		n, _, err := unix.Recvfrom(c.FD, c.buffer, unix.MSG_DONTWAIT)
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

// Drain discards the rest of an answer that was not read to its end. The kernel refuses
// a new dump before that.
func (c *Conn) Drain() {
	for {
		datagram, err := c.ReceiveNow()
		if err == nil && len(datagram) == 0 || err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// Visit requests a list and passes each message of the answer to visit, which must not
// keep it: its type, and what follows struct nlmsghdr. It fails with the kernel's error
// number if the kernel refuses.
func (c *Conn) Visit(messageType uint16, request []byte, visit func(messageType uint16, body []byte)) error {
	b := binary.NativeEndian.AppendUint32(c.request[:0], uint32(unix.SizeofNlMsghdr+len(request)))
	b = binary.NativeEndian.AppendUint16(b, messageType)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = append(b, make([]byte, 8)...) // nlmsg_seq and nlmsg_pid
	c.request = append(b, request...)
	first, err := c.Send(c.request)
	if err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	return c.ReceiveDump(first, func(m Message) error {
		visit(m.Type(), m.Body())
		return nil
	})
}

// ReceiveDump passes each message of the dump that a request with the sequence number
// has begun to visit, in the kernel's order. If the kernel flags the dump as
// interrupted, ReceiveDump fails with ErrInterrupted after the last message.
func (c *Conn) ReceiveDump(sequence uint32, visit func(Message) error) error {
	d := dump{sequence: sequence, visit: visit}
	for !d.complete {
		datagram, err := c.Receive()
		if err == nil {
			err = d.add(datagram)
		}
		if err != nil {
			c.Drain()
			return err
		}
	}
	return nil
}

// dump is a dump as far as it was read.
type dump struct {
	sequence              uint32
	visit                 func(Message) error
	interrupted, complete bool
}

// add passes the messages in a datagram to visit. Messages of other dumps are ignored.
func (d *dump) add(datagram []byte) error {
	for len(datagram) > 0 && !d.complete {
		m, rest, err := Next(datagram)
		if err != nil {
			return err
		}
		datagram = rest
		if m.Sequence() != d.sequence {
			continue
		}
		d.interrupted = d.interrupted || m.isInterrupted()
		d.complete = m.Type() == unix.NLMSG_DONE || m.Type() == unix.NLMSG_ERROR
		switch {
		case !d.complete:
			err = d.visit(m)
		case m.Errno() != 0:
			err = m.Errno()
		case d.interrupted:
			err = ErrInterrupted
		}
		if err != nil {
			return err
		}
	}
	return nil
}
