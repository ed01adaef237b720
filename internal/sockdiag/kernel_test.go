package sockdiag

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

func open(tb testing.TB) *Conn {
	tb.Helper()
	conn, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// serve accepts connections on an address of the test's namespace. It closes each
// one once the client has closed it, or at once.
func serve(tb testing.TB, network, address string, hangUp bool) {
	tb.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if !hangUp {
					_, _ = io.Copy(io.Discard, conn)
				}
				_ = conn.Close()
			}()
		}
	}()
}

// connect opens connections from an address.
func connect(tb testing.TB, count int, from, to string) []net.Conn {
	tb.Helper()
	dialer := net.Dialer{
		Timeout:   10 * time.Second,
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
	}
	conns := make([]net.Conn, count)
	for i := range conns {
		var err error
		if conns[i], err = dialer.Dial("tcp", to); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conns[i].Close() })
	}
	return conns
}

func counts(tb testing.TB, conn *Conn, ports []uint16) []accounting.Connections {
	tb.Helper()
	got, err := conn.Count(ports, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func known(established, addresses int32) accounting.Connections {
	return accounting.Connections{Known: true, Established: established, Addresses: addresses}
}

// TestCountIsWhatTheKernelHas connects to ports on loopback, where both ends of a
// connection are in the kernel's list.
func TestCountIsWhatTheKernelHas(t *testing.T) {
	testkit.NetworkNamespace(t)
	serve(t, "tcp4", "127.0.0.1:20000", false)
	serve(t, "tcp", "[::]:20001", false) // IPv4 clients have mapped addresses
	serve(t, "tcp4", "127.0.0.1:20002", true)
	serve(t, "tcp4", "127.0.0.1:20003", false)
	serve(t, "tcp4", "127.0.0.1:20009", false) // not counted

	connect(t, 3, "127.0.0.2", "127.0.0.1:20000")
	leaving := connect(t, 2, "127.0.0.3", "127.0.0.1:20000")
	connect(t, 2, "127.0.0.2", "127.0.0.1:20001")
	connect(t, 1, "::1", "[::1]:20001")
	for _, conn := range connect(t, 2, "127.0.0.2", "127.0.0.1:20002") {
		_, _ = io.Copy(io.Discard, conn) // the server closes first: it keeps TIME_WAIT
		_ = conn.Close()
	}
	connect(t, 2, "127.0.0.2", "127.0.0.1:20003")
	connect(t, 2, "127.0.0.2", "127.0.0.1:20009")

	ports := []uint16{20000, 20001, 20002, 20003, 20004}
	conn := open(t)
	want := []accounting.Connections{known(5, 2), known(3, 2), known(0, 0), known(2, 1), known(0, 0)}
	testkit.Eventually(t, 5*time.Second, func() error { // the server accepts in its own time
		return difference(want, counts(t, conn, ports))
	})
	// One port, which the kernel selects.
	for i := range ports {
		if diff := cmp.Diff(want[i:i+1], counts(t, conn, ports[i:i+1])); diff != "" {
			t.Errorf("port %d alone (-want +got):\n%s", ports[i], diff)
		}
	}

	addresses := func(port uint16) []Remote {
		remotes, err := conn.Addresses(port)
		if err != nil {
			t.Fatal(err)
		}
		return remotes
	}
	for port, want := range map[uint16][]Remote{
		20000: {{netip.MustParseAddr("127.0.0.2"), 3}, {netip.MustParseAddr("127.0.0.3"), 2}},
		20001: {{netip.MustParseAddr("127.0.0.2"), 2}, {netip.IPv6Loopback(), 1}},
		20002: {},
	} {
		if diff := cmp.Diff(want, addresses(port), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("addresses of port %d (-want +got):\n%s", port, diff)
		}
	}

	for _, conn := range leaving {
		_ = conn.Close()
	}
	want[0] = known(3, 1)
	testkit.Eventually(t, 5*time.Second, func() error {
		return difference(want, counts(t, conn, ports))
	})
}

func difference(want, got []accounting.Connections) error {
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("connections (-want +got):\n%s", diff)
	}
	return nil
}

// TestListening distinguishes sockets that receive from anybody from those of
// connections that the host has begun.
func TestListening(t *testing.T) {
	testkit.NetworkNamespace(t)
	serve(t, "tcp4", "127.0.0.1:1234", false)
	serve(t, "tcp6", "[::1]:1235", false)
	connect(t, 3, "127.0.0.1", "127.0.0.1:1234")
	serve(t, "tcp4", "0.0.0.0:1238", false)
	serve(t, "tcp4", "127.0.0.2:1239", false)
	serve(t, "tcp6", "[::]:1239", false)
	config := net.ListenConfig{}
	config.SetMultipathTCP(true) // as Go's servers do
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:1240")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	for _, address := range []string{"127.0.0.1:1236", "[::]:1237"} {
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	client, err := net.Dial("udp", "127.0.0.1:1236")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	for protocols, want := range map[accounting.Protocols][]string{
		accounting.OnlyTCP:   {"tcp 127.0.0.1:1234", "tcp 127.0.0.1:1240", "tcp 127.0.0.2:1239", "tcp 0.0.0.0:1238", "tcp [::1]:1235", "tcp [::]:1239"},
		accounting.OnlyUDP:   {"udp 127.0.0.1:1236", "udp [::]:1237"},
		accounting.TCPAndUDP: {"tcp 127.0.0.1:1234", "tcp 127.0.0.1:1240", "tcp 127.0.0.2:1239", "tcp 0.0.0.0:1238", "tcp [::1]:1235", "tcp [::]:1239", "udp 127.0.0.1:1236", "udp [::]:1237"},
	} {
		sockets, err := ListeningSockets(protocols)
		var got []string
		for _, s := range sockets {
			got = append(got, fmt.Sprint(s.Protocol, " ", netip.AddrPortFrom(s.Address, s.Port)))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
}
