package serving

import (
	"net"
	"slices"
	"sync"
	"time"
)

// recheck is how often a connection that waits for a place looks for one. Nothing
// reports that another one has waited for its client for too long.
const recheck = 10 * time.Millisecond

// limiter is a listener with a limited number of connections, none of which waits for
// another's client for long: when all places are taken, a connection is closed that has
// waited for its client for Limits.Patience, and the new one takes its place.
//
// First goes the oldest that has not sent a whole request, however many bytes of it
// have arrived; then the one whose client has taken nothing of its response for the
// longest. Connections that the agent is working for keep their places.
type limiter struct {
	net.Listener
	limits Limits
	freed  chan struct{} // has a token after a place became free
	closed chan struct{}
	shut   func() error

	mutex sync.Mutex
	conns []*conn // in the order in which they were accepted
}

func newLimiter(listener net.Listener, limits Limits) *limiter {
	l := &limiter{Listener: listener, limits: limits, freed: make(chan struct{}, 1), closed: make(chan struct{})}
	l.shut = sync.OnceValue(func() error {
		close(l.closed)
		return listener.Close()
	})
	return l
}

// Accept waits for the next connection and for a place.
func (l *limiter) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := newConn(accepted, l)
	for !l.admit(c) {
		select {
		case <-l.freed:
		case <-time.After(recheck):
		case <-l.closed:
			c.abort()
			return nil, net.ErrClosed
		}
	}
	return c, nil
}

// Close stops listening. Connections that were accepted stay open.
func (l *limiter) Close() error { return l.shut() }

// admit gives a place to the connection. It reports whether there was one.
func (l *limiter) admit(c *conn) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.conns) >= l.limits.Connections {
		last := l.slowest()
		if last < 0 {
			return false
		}
		l.conns[last].abort()
		l.conns = slices.Delete(l.conns, last, last+1)
	}
	l.conns = append(l.conns, c)
	return true
}

// slowest returns the index of the connection that loses its place next, or -1.
func (l *limiter) slowest() int {
	limit := time.Now().Add(-l.limits.Patience)
	oldest := slices.IndexFunc(l.conns, (*conn).silent)
	if oldest >= 0 && !l.conns[oldest].accepted.After(limit) {
		return oldest
	}
	slowest := -1
	for i, c := range l.conns {
		if began := c.blockedSince(); !began.IsZero() && !began.After(limit) {
			slowest, limit = i, began
		}
	}
	return slowest
}

// release frees the place of a connection that has one.
func (l *limiter) release(c *conn) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	i := slices.Index(l.conns, c)
	if i < 0 {
		return
	}
	l.conns = slices.Delete(l.conns, i, i+1)
	select {
	case l.freed <- struct{}{}:
	default: // whoever waits looks anyway
	}
}
