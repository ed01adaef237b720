package conntrack

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// Rules under which 127.0.0.3 and ::3 publish what 127.0.0.2 and ::2 serve, as a
// host does for a container. They translate on loopback, at output.
const published = `
table ip nat {
	chain output { type nat hook output priority -100; policy accept;
		ip daddr 127.0.0.3 udp dport 30000 dnat to 127.0.0.2:8388
		ip daddr 127.0.0.3 tcp dport 30000 dnat to 127.0.0.2:8388
		ip daddr 127.0.0.3 udp dport 8388 dnat to 127.0.0.2
	}
	chain post { type nat hook postrouting priority 100; policy accept;
		ip saddr 127.0.0.2 ip daddr != 127.0.0.2 udp sport 8388 snat to 127.0.0.3
	}
}
table ip6 nat {
	chain output { type nat hook output priority -100; policy accept;
		ip6 daddr ::1 udp dport 30000 dnat to [::1]:8388
		ip6 daddr ::1 tcp dport 30000 dnat to [::1]:8388
	}
}`

func flows(tb testing.TB, list func(func(Flow)) error) []Flow {
	tb.Helper()
	var found []Flow
	if err := list(func(flow Flow) { found = append(found, flow) }); err != nil {
		tb.Fatal(err)
	}
	return found
}

func packetConn(tb testing.TB, address string) net.PacketConn {
	tb.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send sends a datagram from one socket to an address and waits until another socket
// has it. It returns where it came from.
func send(tb testing.TB, from net.PacketConn, address string, to net.PacketConn) net.Addr {
	tb.Helper()
	if _, err := from.WriteTo([]byte("data"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))); err != nil {
		tb.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	_, sender, err := to.ReadFrom(make([]byte, 100))
	if err != nil {
		tb.Fatalf("%s sent to %s: %v", from.LocalAddr(), address, err)
	}
	return sender
}

func flowOf(protocol accounting.Protocol, addresses ...string) Flow {
	var parsed [4]netip.AddrPort
	for i, address := range addresses {
		parsed[i] = netip.MustParseAddrPort(address)
	}
	return Flow{protocol, Tuple{parsed[0], parsed[1]}, Tuple{parsed[2], parsed[3]}}
}

func expectFlows(t *testing.T, what string, got []Flow, want ...Flow) {
	t.Helper()
	order := cmpopts.SortSlices(func(a, b Flow) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
	if diff := cmp.Diff(want, got, order, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestFlowsAreWhatTheKernelTracks makes flows that are translated, some of which the
// published server begins, and one that is not.
func TestFlowsAreWhatTheKernelTracks(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, published)
	expectFlows(t, "before any packet", flows(t, Flows))

	client, server := packetConn(t, "127.0.0.1:40000"), packetConn(t, "127.0.0.2:8388")
	client6, server6 := packetConn(t, "[::1]:40000"), packetConn(t, "[::1]:8388")
	send(t, client, "127.0.0.3:30000", server)
	send(t, client6, "[::1]:30000", server6)
	redirected := []Flow{
		flowOf(accounting.UDP, "127.0.0.1:40000", "127.0.0.3:30000", "127.0.0.2:8388", "127.0.0.1:40000"),
		flowOf(accounting.UDP, "[::1]:40000", "[::1]:30000", "[::1]:8388", "[::1]:40000"),
	}
	for _, addresses := range [][2]string{{"127.0.0.2:8388", "127.0.0.3:30000"}, {"[::1]:8388", "[::1]:30000"}} {
		listener, err := net.Listen("tcp", addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		conn, err := net.Dial("tcp", addresses[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		own := conn.LocalAddr().String()
		redirected = append(redirected, flowOf(accounting.TCP, own, addresses[1], addresses[0], own))
	}
	expectFlows(t, "redirected flows", flows(t, Redirected), redirected...)
	for _, flow := range redirected {
		if !flow.DestinationTranslated() || flow.Ends()[1].Port() != 8388 {
			t.Errorf("%+v: want a translated destination with port 8388 behind it", flow)
		}
	}

	// Neither this one nor a ping is redirected.
	send(t, packetConn(t, "127.0.0.1:40001"), "127.0.0.2:8388", server)
	ping(t)
	plain := flowOf(accounting.UDP, "127.0.0.1:40001", "127.0.0.2:8388", "127.0.0.2:8388", "127.0.0.1:40001")
	expectFlows(t, "all flows", flows(t, Flows), append(redirected, plain)...)
	expectFlows(t, "redirected flows beside others", flows(t, Redirected), redirected...)
	if plain.DestinationTranslated() {
		t.Errorf("%+v: want no translation", plain)
	}
}

// ping makes an entry that is neither TCP nor UDP.
func ping(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("ip4:icmp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}); err != nil { // an echo request
		t.Fatal(err)
	}
}

// makeFlows makes a flow from a port to each of count ports of 127.0.0.0/8, of which
// none is open.
func makeFlows(tb testing.TB, from net.PacketConn, count int) {
	tb.Helper()
	address := netip.MustParseAddr("127.1.0.0")
	for i := range count {
		port := i % 1000
		if port == 0 {
			address = address.Next()
		}
		// ICMP answers that nobody listens, which a later write returns.
		for attempt := 0; ; attempt++ {
			_, err := from.WriteTo(nil, &net.UDPAddr{IP: address.AsSlice(), Port: 10000 + port})
			if err == nil {
				break
			}
			if !errors.Is(err, unix.ECONNREFUSED) || attempt > 2 {
				tb.Fatal(err)
			}
		}
	}
}

func TestFlowsAllocateNothingPerFlow(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, published)
	client, server := packetConn(t, "127.0.0.1:40000"), packetConn(t, "127.0.0.2:8388")
	send(t, client, "127.0.0.3:30000", server)
	count := 0
	list := func() {
		count = 0
		if err := Flows(func(Flow) { count++ }); err != nil {
			t.Fatal(err)
		}
	}
	few := testing.AllocsPerRun(5, list)
	makeFlows(t, client, 1000)
	many := testing.AllocsPerRun(5, list)
	if count < 1000 || many > few+2 {
		t.Errorf("%v allocations for one flow, %v for %d", few, many, count)
	}
}

// TestTheKernelSelectsRedirectedFlows counts what the kernel sends.
func TestTheKernelSelectsRedirectedFlows(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, published)
	client, server := packetConn(t, "127.0.0.1:40000"), packetConn(t, "127.0.0.2:8388")
	send(t, client, "127.0.0.3:30000", server)
	makeFlows(t, client, 100)
	sent := 0
	if err := dump(statusDestinationTranslated, func(Flow) { sent++ }); err != nil || sent != 1 {
		t.Errorf("the kernel sent %d entries, %v, want one", sent, err)
	}
	// An older kernel sends all.
	sent = 0
	if err := dump(0, onlyRedirected(func(Flow) { sent++ })); err != nil || sent != 1 {
		t.Errorf("%d of all entries are redirected, %v, want one", sent, err)
	}
}

// TestNoTrackingStaysOff lists in a namespace that tracks nothing. The kernel would
// refuse a request.
func TestNoTrackingStaysOff(t *testing.T) {
	testkit.NetworkNamespace(t)
	conn := packetConn(t, "127.0.0.1:40000")
	send(t, conn, "127.0.0.1:40000", conn)
	testkit.DropCapabilities(t)
	for range 2 {
		expectFlows(t, "without tracking", flows(t, Flows))
		expectFlows(t, "redirected without tracking", flows(t, Redirected))
		send(t, conn, "127.0.0.1:40000", conn)
	}
}

// TestFlowsWhereSysctlsAreHidden lists as the units do, with ProcSubset=pid.
func TestFlowsWhereSysctlsAreHidden(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.PrivateMounts(t)
	testkit.NFT(t, published)
	client, server := packetConn(t, "127.0.0.1:40000"), packetConn(t, "127.0.0.2:8388")
	send(t, client, "127.0.0.3:30000", server)
	if err := unix.Mount("proc", "/proc", "proc", 0, "subset=pid"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(countFile); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: got %v, want it to be hidden", countFile, err)
	}
	if got := flows(t, Redirected); len(got) != 1 {
		t.Errorf("got %v, want one flow", got)
	}
}

func TestFlowsNeedThePrivilege(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, published)
	client, server := packetConn(t, "127.0.0.1:40000"), packetConn(t, "127.0.0.2:8388")
	send(t, client, "127.0.0.3:30000", server)
	testkit.DropCapabilities(t)
	for _, list := range []func(func(Flow)) error{Flows, Redirected} {
		err := list(func(Flow) { t.Error("a flow was visited") })
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("got %v, want fs.ErrPermission and a remedy", err)
		}
	}
}
