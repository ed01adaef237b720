package endtoend_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// stream is steady traffic. It records of every datagram when it was sent and
// when it arrived. One goroutine sends on all lanes in turn.
type stream struct {
	gate    sync.Mutex // held while a round is sent, and while the stream is paused
	paused  bool
	lanes   []*lane
	sockets []*net.UDPConn
	group   sync.WaitGroup
	stopped chan struct{}

	exchanges map[netip.AddrPort]*exchange // by the client's address
}

// lane is the traffic from one socket to another that one counter counts.
type lane struct {
	key      accounting.Key
	header   int          // of IP and UDP
	from     *net.UDPConn // nil: it only answers
	to       netip.AddrPort
	lossy    bool // datagrams may get lost after they were counted, or overtake others
	mutex    sync.Mutex
	sent     accounting.Count
	passages []passage // the log
	settled  uint64    // datagrams before those in the log
	arrived  int       // datagrams in the log that have arrived
	fault    error     // the first one
}

// passage is one datagram. It was counted at some moment between its sending and
// its arrival.
type passage struct {
	size          uint64 // from the IP header up
	sent, arrived time.Time
}

// streamPause is the time between two datagrams of a lane.
const streamPause = 4 * time.Millisecond

// within calls act in the namespace.
func (n namespace) within(t *testing.T, act func(namespace *os.File) error) {
	t.Helper()
	there, err := os.Open("/run/netns/" + string(n))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = home.Close() }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	err = act(there)
	if restoreErr := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); restoreErr != nil {
		panic(restoreErr) // the thread would go on in the wrong place
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (n namespace) listenUDP(t *testing.T, address string) (socket *net.UDPConn) {
	t.Helper()
	n.within(t, func(*os.File) (err error) {
		socket, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		return err
	})
	return socket
}

// newStream prepares traffic to and from the ports: the first over IPv4 and
// IPv6, the others over IPv4. It is paused.
func newStream(t *testing.T, server, client namespace, ports ...uint16) *stream {
	t.Helper()
	s := &stream{stopped: make(chan struct{})}
	s.join(t, server, client, ports[0], "["+serverIPv6+"]", "["+clientIPv6+"]", 48)
	for _, port := range ports {
		s.join(t, server, client, port, serverIPv4, clientIPv4, 28)
	}
	s.gate.Lock()
	s.paused = true
	s.group.Go(s.send)
	t.Cleanup(s.stop)
	return s
}

// join adds both lanes between the server's port and a port of the client.
func (s *stream) join(t *testing.T, server, client namespace, port uint16, serverAddress, clientAddress string, header int) {
	t.Helper()
	here := server.listenUDP(t, fmt.Sprintf("%s:%d", serverAddress, port))
	there := client.listenUDP(t, fmt.Sprintf("%s:%d", clientAddress, port+10000))
	s.sockets = append(s.sockets, here, there)
	add := func(direction accounting.Direction, from, to *net.UDPConn) {
		l := &lane{
			key:    accounting.Key{Port: port, Protocol: accounting.UDP, Direction: direction},
			header: header, from: from, to: to.LocalAddr().(*net.UDPAddr).AddrPort(),
		}
		s.lanes = append(s.lanes, l)
		s.group.Go(func() { l.receive(to) })
	}
	add(accounting.In, there, here)
	add(accounting.Out, here, there)
}

func (s *stream) stop() {
	close(s.stopped)
	if s.paused {
		s.resume()
	}
	for _, socket := range s.sockets {
		_ = socket.Close()
	}
	s.group.Wait()
}

func (s *stream) send() {
	ticks := time.NewTicker(streamPause)
	defer ticks.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case <-ticks.C:
		}
		s.gate.Lock()
		for _, l := range s.lanes {
			if l.from != nil {
				l.sendFrom(l.from)
			}
		}
		s.gate.Unlock()
	}
}

// sendFrom sends the next datagram, which begins with its number.
func (l *lane) sendFrom(socket *net.UDPConn) {
	l.mutex.Lock()
	number := l.settled + uint64(len(l.passages))
	payload := make([]byte, 16+number%64) // of many sizes, so that packets don't stand for bytes
	binary.BigEndian.PutUint64(payload, number)
	size := uint64(l.header + len(payload))
	l.passages = append(l.passages, passage{size: size, sent: time.Now()})
	l.sent = l.sent.Plus(accounting.Count{Packets: 1, Bytes: size})
	l.mutex.Unlock()
	if _, err := socket.WriteToUDPAddrPort(payload, l.to); err != nil && (!l.lossy || !errors.Is(err, unix.EPERM)) {
		l.fail(err)
	}
}

func (l *lane) receive(socket *net.UDPConn) {
	buffer := make([]byte, 1500)
	for {
		n, _, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			l.fail(err)
			return
		}
		l.arrive(binary.BigEndian.Uint64(buffer), n, time.Now())
	}
}

func (l *lane) arrive(number uint64, payload int, at time.Time) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	place := int(number - l.settled)
	if l.lossy {
		if place >= 0 && l.passages[place].arrived.IsZero() { // else nobody has waited for it
			l.passages[place].arrived = at
			l.arrived++
		}
		return
	}
	if place != l.arrived || l.passages[place].size != uint64(l.header+payload) {
		l.note(fmt.Errorf("datagram %d of %d bytes arrived in place of number %d", number, payload, l.settled+uint64(l.arrived)))
		return
	}
	l.passages[place].arrived = at
	l.arrived++
}

func (l *lane) fail(err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.note(err)
}

func (l *lane) note(err error) {
	if l.fault == nil && !errors.Is(err, net.ErrClosed) {
		l.fault = err
	}
}

// pause stops sending, if it was not stopped, and waits until all datagrams have
// arrived.
func (s *stream) pause(t *testing.T) {
	t.Helper()
	if !s.paused {
		s.gate.Lock()
		s.paused = true
	}
	for _, l := range s.lanes {
		if l.lossy {
			l.arriveAnyway()
		}
		eventually(t, func() error {
			l.mutex.Lock()
			defer l.mutex.Unlock()
			if l.fault == nil && l.arrived < len(l.passages) {
				return fmt.Errorf("%s: %d of %d datagrams have arrived", l.key, l.arrived, len(l.passages))
			}
			return nil
		})
		if l.fault != nil {
			t.Fatalf("%s: the traffic is not what it should be: %v", l.key, l.fault)
		}
	}
}

// resume continues to send after a pause.
func (s *stream) resume() {
	s.paused = false
	s.gate.Unlock()
}

// forget drops the log of the datagrams so far. The stream is paused.
func (s *stream) forget() {
	for _, l := range s.lanes {
		l.mutex.Lock()
		l.settled += uint64(len(l.passages))
		l.passages, l.arrived = l.passages[:0], 0
		l.mutex.Unlock()
	}
}

// waitFor waits until the log has that many datagrams of every lane.
func (s *stream) waitFor(t *testing.T, datagrams int) {
	t.Helper()
	for _, l := range s.lanes {
		if l.lossy {
			continue
		}
		eventually(t, func() error {
			l.mutex.Lock()
			defer l.mutex.Unlock()
			if l.arrived < datagrams {
				return fmt.Errorf("%s: %d datagrams have arrived, want %d (fault: %w)", l.key, l.arrived, datagrams, l.fault)
			}
			return nil
		})
	}
}

// length returns how long a counter's lanes take to carry that many datagrams if
// they are on time.
func (s *stream) length(key accounting.Key, datagrams uint64) time.Duration {
	lanes := 0
	for _, l := range s.lanes {
		if l.key == key {
			lanes++
		}
	}
	return time.Duration(datagrams) * streamPause / time.Duration(lanes)
}

// sent returns everything that was ever sent past each counter.
func (s *stream) sent() map[accounting.Key]accounting.Count {
	sent := make(map[accounting.Key]accounting.Count)
	for _, l := range s.lanes {
		l.mutex.Lock()
		sent[l.key] = sent[l.key].Plus(l.sent)
		l.mutex.Unlock()
	}
	return sent
}

// window is a period that began between two known times and ended between two
// others.
type window struct {
	beginEarliest, beginLatest time.Time
	endEarliest, endLatest     time.Time
}

// during returns the traffic in the log that passed the counter in a window: what
// certainly did, and what may have. The stream must be paused.
func (s *stream) during(key accounting.Key, w window) (least, most accounting.Count) {
	for _, l := range s.lanes {
		if l.key != key {
			continue
		}
		l.mutex.Lock()
		for _, p := range l.passages {
			one := accounting.Count{Packets: 1, Bytes: p.size}
			if p.sent.After(w.beginLatest) && p.arrived.Before(w.endEarliest) {
				least = least.Plus(one)
			}
			if p.arrived.After(w.beginEarliest) && p.sent.Before(w.endLatest) {
				most = most.Plus(one)
			}
		}
		l.mutex.Unlock()
	}
	return least, most
}

// duringAll is the sum of during over several windows.
func (s *stream) duringAll(key accounting.Key, windows []window) (least, most accounting.Count) {
	for _, w := range windows {
		surely, perhaps := s.during(key, w)
		least, most = least.Plus(surely), most.Plus(perhaps)
	}
	return least, most
}
