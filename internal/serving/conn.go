package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// writeSize is how much of a response a client must take within Limits.Stall.
	writeSize = 16 << 10
	// sendBuffer limits what the kernel holds for a client that takes nothing: it
	// would be up to 4 MB (tcp_wmem), of the memory of the agent's control group. The
	// kernel doubles the value.
	sendBuffer = 64 << 10
	// tcpUserTimeout is TCP_USER_TIMEOUT of include/uapi/linux/tcp.h: after so many
	// milliseconds without progress the kernel drops what is to be sent, also of a
	// connection that is closed.
	tcpUserTimeout = 18
)

// conn is a connection that has a place of a limiter.
type conn struct {
	net.Conn
	limiter   *limiter
	accepted  time.Time
	requested atomic.Bool // the whole request has arrived
	reading   atomic.Bool // the agent waits for bytes, or has not taken them yet

	mutex    sync.Mutex
	began    time.Time // when the write in progress began; zero: there is none
	deadline time.Time // of the whole response; zero: none
}

func newConn(accepted net.Conn, l *limiter) *conn {
	if tcp, ok := accepted.(*net.TCPConn); ok {
		boundUnsent(tcp, l.limits.Stall)
	}
	return &conn{Conn: accepted, limiter: l, accepted: time.Now()}
}

// boundUnsent bounds what the kernel holds for a client that takes nothing, and for how
// long. A connection on which that fails is served nevertheless.
func boundUnsent(tcp *net.TCPConn, stall time.Duration) {
	_ = tcp.SetWriteBuffer(sendBuffer)
	onSocket(tcp, func(fd int) {
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpUserTimeout, int(stall.Milliseconds()))
	})
}

// onSocket calls do with the file descriptor, unless the connection is closed.
func onSocket(connection net.Conn, do func(fd int)) {
	if socket, ok := connection.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { do(int(fd)) })
		}
	}
}

// Read reads from the client, for whose request the agent waits meanwhile.
func (c *conn) Read(content []byte) (int, error) {
	c.reading.Store(true)
	defer c.reading.Store(false)
	return c.Conn.Read(content)
}

// silent reports whether the agent waits for the client's request: it has not arrived as
// a whole, and the agent is not busy with what did arrive.
func (c *conn) silent() bool {
	if c.requested.Load() || !c.reading.Load() {
		return false
	}
	var unread int
	onSocket(c.Conn, func(fd int) {
		unread, _, _ = syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return unread <= 0
}

// blockedSince returns when the write in progress began, or the zero time.
func (c *conn) blockedSince() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.began
}

// Write writes in parts, each of which the client must take within Limits.Stall.
func (c *conn) Write(content []byte) (written int, err error) {
	for err == nil && written < len(content) {
		part := content[written:min(len(content), written+writeSize)]
		var n int
		if err = c.beginWrite(); err == nil {
			n, err = c.Conn.Write(part)
		}
		written += n
	}
	c.endWrite(err)
	return written, err
}

func (c *conn) beginWrite() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.began = time.Now()
	return c.Conn.SetWriteDeadline(c.nextDeadline())
}

func (c *conn) endWrite(err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.began = time.Time{}
	if err != nil {
		c.discardUnsent()
	}
}

// nextDeadline is that of the write in progress.
func (c *conn) nextDeadline() time.Time {
	stall := c.began.Add(c.limiter.limits.Stall)
	if c.began.IsZero() || (!c.deadline.IsZero() && c.deadline.Before(stall)) {
		return c.deadline
	}
	return stall
}

// SetWriteDeadline limits the whole response, also a write that is in progress.
func (c *conn) SetWriteDeadline(deadline time.Time) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.deadline = deadline
	return c.Conn.SetWriteDeadline(c.nextDeadline())
}

// SetDeadline sets the deadlines of reading and writing.
func (c *conn) SetDeadline(deadline time.Time) error {
	return errors.Join(c.SetReadDeadline(deadline), c.SetWriteDeadline(deadline))
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	defer c.limiter.release(c)
	return c.Conn.Close()
}

// abort closes the connection without its place.
func (c *conn) abort() {
	c.discardUnsent()
	_ = c.Conn.Close() // the client has no use for the error
}

// discardUnsent has the kernel forget at once what the client has not taken, instead of
// offering it for a minute after the connection is closed.
func (c *conn) discardUnsent() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it is closed
	}
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// withConn is the ConnContext of a server on a limiter.
func withConn(ctx context.Context, connection net.Conn) context.Context {
	if encrypted, ok := connection.(*tls.Conn); ok {
		connection = encrypted.NetConn()
	}
	return context.WithValue(ctx, connKey{}, connection)
}

// markRequests notes on the connection when the whole request has arrived.
func markRequests(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c, ok := req.Context().Value(connKey{}).(*conn)
		switch {
		case !ok:
		case req.Body == http.NoBody:
			c.requested.Store(true)
		default:
			req.Body = &markedBody{req.Body, c}
		}
		handler.ServeHTTP(w, req)
	})
}

// markedBody is a body whose end is the end of the request.
type markedBody struct {
	io.ReadCloser
	conn *conn
}

func (b *markedBody) Read(part []byte) (int, error) {
	n, err := b.ReadCloser.Read(part)
	if errors.Is(err, io.EOF) {
		b.conn.requested.Store(true)
	}
	return n, err
}
