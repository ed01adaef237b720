package endtoend_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ssmonitor/accounting"
)

// The addresses of the server at which ports are published. Only they are
// translated, so that a rule may translate all ports.
const (
	publishedIPv4 = "192.0.2.9"
	publishedIPv6 = "2001:db8::9"
)

// The containers have two addresses of each family.
var containerAddresses = [...]string{"172.30.0.2", "172.30.0.3", "fd30::2", "fd30::3"}

// exchange is the traffic between a client and whoever answers at a published port:
// a container, or the host while nobody publishes the port. The answers pass the
// counter of the other direction.
type exchange struct {
	in, out *lane
	answers *net.UDPConn // that has answered last
}

// arrivalPatience is how long a datagram may be on its way if it is not lost.
const arrivalPatience = 200 * time.Millisecond

// addContainers puts containers behind the server, and another network.
func addContainers(t *testing.T, server, client namespace) (containers, elsewhere namespace) {
	t.Helper()
	containers, elsewhere = newNamespace(t), newNamespace(t)
	join(t, server, elsewhere, "spare", []string{"10.88.0.1/24", "fd88::1/64"}, []string{"10.88.0.2/24", "fd88::2/64"})
	join(t, server, containers, "bridge0", []string{"172.30.0.1/24", "fd30::1/64"},
		[]string{"172.30.0.2/24", "172.30.0.3/24", "fd30::2/64", "fd30::3/64"})
	ip(t, "-netns", string(containers), "route", "add", "default", "via", "172.30.0.1")
	ip(t, "-netns", string(containers), "-6", "route", "add", "default", "via", "fd30::1")
	ip(t, "-netns", string(server), "address", "add", publishedIPv4+"/32", "dev", "lo")
	ip(t, "-netns", string(server), "address", "add", publishedIPv6+"/128", "dev", "lo")
	ip(t, "-netns", string(client), "route", "add", publishedIPv4, "via", serverIPv4)
	ip(t, "-netns", string(client), "-6", "route", "add", publishedIPv6, "via", serverIPv6)
	server.run(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	return containers, elsewhere
}

// echo makes every one of the ports of the containers, and the published ones of
// the host, answer the client. The stream is paused.
func (s *stream) echo(t *testing.T, server, client, containers namespace, published, inside []uint16) {
	t.Helper()
	s.exchanges = make(map[netip.AddrPort]*exchange)
	for i, port := range published {
		s.addExchange(t, client, netip.MustParseAddr(clientIPv4), netip.AddrPortFrom(netip.MustParseAddr(publishedIPv4), port), 28)
		if i == 0 {
			s.addExchange(t, client, netip.MustParseAddr(clientIPv6), netip.AddrPortFrom(netip.MustParseAddr(publishedIPv6), port), 48)
		}
	}
	for _, port := range published {
		s.answer(t, server, publishedIPv4, port)
		s.answer(t, server, publishedIPv6, port)
	}
	for _, address := range containerAddresses {
		for _, port := range inside {
			s.answer(t, containers, address, port)
		}
	}
}

func (s *stream) addExchange(t *testing.T, client namespace, from netip.Addr, to netip.AddrPort, header int) {
	t.Helper()
	socket := client.listenUDP(t, netip.AddrPortFrom(from, to.Port()+10000).String())
	s.sockets = append(s.sockets, socket)
	key := accounting.Key{Port: to.Port(), Protocol: accounting.UDP, Direction: accounting.In}
	x := &exchange{in: &lane{key: key, header: header, from: socket, to: to, lossy: true}}
	key.Direction = accounting.Out
	x.out = &lane{key: key, header: header, to: netip.AddrPortFrom(from, to.Port()+10000), lossy: true}
	s.exchanges[x.out.to] = x
	s.lanes = append(s.lanes, x.in, x.out) // in this order: answers come after what they answer
	s.group.Go(func() { x.out.receive(socket) })
}

// answer answers whatever arrives at an address and port.
func (s *stream) answer(t *testing.T, n namespace, address string, port uint16) {
	t.Helper()
	socket := n.listenUDP(t, netip.AddrPortFrom(netip.MustParseAddr(address), port).String())
	s.sockets = append(s.sockets, socket)
	s.group.Go(func() {
		buffer := make([]byte, 1500)
		for {
			length, from, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			x := s.exchanges[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
			if x == nil {
				continue
			}
			x.out.sendFrom(socket)
			x.in.mutex.Lock()
			x.answers = socket
			x.in.mutex.Unlock()
			x.in.arrive(binary.BigEndian.Uint64(buffer), length, time.Now())
		}
	})
}

// answerFirst has those who answered last send without being asked, if they are at
// one of the targets.
func (s *stream) answerFirst(targets []accounting.Target) {
	for _, x := range s.exchanges {
		x.in.mutex.Lock()
		socket := x.answers
		x.in.mutex.Unlock()
		if socket != nil && slices.ContainsFunc(targets, func(t accounting.Target) bool { return t.Address.String() == socket.LocalAddr().String() }) {
			x.out.sendFrom(socket)
		}
	}
}

// arriveAnyway waits for the datagrams of a lane that may lose some. Counted is
// what passes the counter, even if the kernel drops it later.
func (l *lane) arriveAnyway() {
	deadline := time.Now().Add(arrivalPatience)
	for {
		l.mutex.Lock()
		if l.arrived == len(l.passages) {
			l.mutex.Unlock()
			return
		}
		if now := time.Now(); now.After(deadline) {
			for i := range l.passages {
				if p := &l.passages[i]; p.arrived.IsZero() {
					p.arrived = now
				}
			}
			l.arrived = len(l.passages)
		}
		l.mutex.Unlock()
		time.Sleep(time.Millisecond)
	}
}
