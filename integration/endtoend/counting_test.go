package endtoend_test

import (
	"fmt"
	"syscall"
	"testing"

	"ssmonitor/accounting"
)

// countedPort is the port that most tests count.
const countedPort = 20000

// families are the two ways to reach a server, on its own loopback and on the
// client's side of the link.
var families = []struct{ name, loopback, client string }{
	{"IPv4", "127.0.0.1", clientIPv4},
	{"IPv6", "[::1]", "[" + clientIPv6 + "]"},
}

func TestLoopbackIsCountedOnce(t *testing.T) {
	require(t, "curl", "ss")
	t.Parallel()
	server := newServer(t)
	// Counters see what TCP passes to IP. Loopback splits what is larger than
	// 64 KiB into two packets, so each packet is limited to one segment.
	ip(t, "-netns", string(server.namespace), "link", "set", "dev", "lo", "gso_max_segs", "1")
	server.setup(t, "--port", fmt.Sprint(countedPort))
	server.serve(t, countedPort)
	for _, family := range families {
		address := fmt.Sprintf("%s:%d", family.loopback, countedPort)
		transmissions := []struct {
			protocol string
			transmit func()
		}{
			{"TCP", func() { server.curl(t, fmt.Sprintf("http://%s/%d", address, megabyte)) }},
			{"UDP", func() { server.exchange(t, address, 100, 1000) }},
		}
		for _, transmission := range transmissions {
			t.Run(transmission.protocol+" over "+family.name, func(t *testing.T) {
				before := server.counted(t, countedPort)
				transmission.transmit()
				eventually(t, func() error {
					counted, carried := server.counted(t, countedPort), server.statistics(t, "lo")
					if counted == before {
						return fmt.Errorf("nothing is counted")
					}
					// On loopback both directions cross the same interface.
					if sum := counted.in.Plus(counted.out); sum != carried.in {
						return fmt.Errorf("counted %+v, loopback carried %+v", sum, carried.in)
					}
					return nil
				})
			})
		}
	}
}

func TestRemotePortOfTheSameNumberIsNotCounted(t *testing.T) {
	require(t, "curl", "ss")
	t.Parallel()
	server, client := newServerAndClient(t)
	server.setup(t, "--port", fmt.Sprint(countedPort))
	client.serve(t, countedPort)
	for _, family := range families {
		address := fmt.Sprintf("%s:%d", family.client, countedPort)
		server.curl(t, fmt.Sprintf("http://%s/%d", address, megabyte))
		server.exchange(t, address, 10, 1000)
	}
	if counted := server.counted(t, countedPort); counted != (traffic{}) {
		t.Errorf("got %+v, want nothing of traffic to other ports", counted)
	}
	if carried := server.statistics(t, link); carried.in.Bytes < 2*megabyte {
		t.Errorf("the interface carried no more than %+v", carried)
	}
}

// TestSetupAgainKeepsCounts runs setup on a table in use.
func TestSetupAgainKeepsCounts(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", fmt.Sprint(countedPort))
	const datagrams = 10
	server.sendToItself(t, countedPort, datagrams)
	before := server.ruleset(t)
	server.setup(t, "--port", fmt.Sprint(countedPort))
	if after := server.ruleset(t); after != before {
		t.Errorf("the second setup changed the ruleset from\n%s\nto\n%s", before, after)
	}
	server.setup(t, "--port", fmt.Sprint(countedPort), "--port", fmt.Sprint(countedPort+1))
	server.sendToItself(t, countedPort+1, 1)
	for name, want := range map[string]int{"udp-20000-in": datagrams, "udp-20000-out": datagrams, "udp-20001-in": 1} {
		if got := server.packets(t, name); got != want {
			t.Errorf("counter %s: got %d packets, want %d", name, got, want)
		}
	}
}

// sendToItself sends datagrams over loopback from the port to the port, so
// that each datagram is counted once in and once out.
func (n namespace) sendToItself(t *testing.T, port, count int) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if sent := n.send(t, sending{from: address, to: address, count: count, size: 100}); sent != count {
		t.Fatalf("%d of %d datagrams were sent", sent, count)
	}
}

// TestPortChangesLoseNoPacketOfAnother makes the agent add and remove ports
// while a million datagrams pass a port that is counted throughout.
func TestPortChangesLoseNoPacketOfAnother(t *testing.T) {
	t.Parallel()
	const changes, datagrams = 200, 1_000_000
	server := newServer(t)
	server.configure(t, countedPort)
	agent := server.startAgent(t, "--shadowsocks", server.configuration())
	agent.waitServing(t, countedPort)

	address := fmt.Sprintf("127.0.0.1:%d", countedPort)
	stream := server.startSending(t, sending{from: address, to: address, count: datagrams, perSecond: 100_000, size: 10})
	other := 0
	for i := range changes {
		other = 30000 + i // comes with this change, goes with the next
		server.configure(t, countedPort, other)
		agent.signal(syscall.SIGHUP)
		eventually(t, func() error {
			if _, found := server.counters(t)[fmt.Sprintf("tcp-%d-in", other)]; !found {
				return fmt.Errorf("port %d has no counter", other)
			}
			return nil
		})
	}
	sent := stream.stop(t)

	size := uint64(20 + 8 + 10) // with the headers of IPv4 and UDP
	want := accounting.Count{Packets: uint64(sent), Bytes: uint64(sent) * size}
	if counted := server.counted(t, countedPort); counted != (traffic{want, want}) {
		t.Errorf("got %+v, want %+v each way", counted, want)
	}
	if carried := server.statistics(t, "lo"); carried.in.Packets != uint64(sent) {
		t.Errorf("loopback carried %d packets of %d: the comparison is void", carried.in.Packets, sent)
	}
	agent.waitServing(t, countedPort, other)
	eventually(t, func() error {
		if counters := server.counters(t); len(counters) != 8 {
			return fmt.Errorf("got counters of removed ports: %v", counters)
		}
		return nil
	})
	agent.stop(t)
}
