package endtoend_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// The ports of TestWhoIsConnected besides Shadowsocks'.
const (
	dualPort         = targetPort // of a server that listens on [::] for IPv4 too
	udpOnlyPort      = 8390
	forContainerPort = 8391
)

// addressesFrom returns that many addresses, the first one included.
func addressesFrom(first string, count int) (addresses []string) {
	address := netip.MustParseAddr(first)
	for range count {
		addresses = append(addresses, address.String())
		address = address.Next()
	}
	return addresses
}

// connect opens connections from each of the addresses.
func (n namespace) connect(t *testing.T, from []string, each int, to string) (conns []net.Conn) {
	t.Helper()
	n.within(t, func(*os.File) error {
		for _, address := range from {
			dialer := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0))}
			for range each {
				conn, err := dialer.Dial("tcp", to)
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = conn.Close() })
				conns = append(conns, conn)
			}
		}
		return nil
	})
	return conns
}

// waitConnections waits until the JSON and the metrics of the agent have the
// connections of each port.
func (a agent) waitConnections(t *testing.T, want map[uint16]accounting.Connections) {
	t.Helper()
	lines := regexp.MustCompile(`(?m)^ssmonitor_port_(connections|addresses)\{port="(\d+)",name=""\} (\d+)$`)
	eventually(t, func() error {
		got := make(map[uint16]accounting.Connections)
		for _, port := range a.report(t).Ports {
			got[port.Port.Number] = port.Connections
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("connections in the JSON (-want +got):\n%s", diff)
		}
		wanted, scraped := make(map[string]int32), make(map[string]int32)
		for port, connections := range want {
			if connections.Known {
				wanted[fmt.Sprint("connections of ", port)] = connections.Established
				wanted[fmt.Sprint("addresses of ", port)] = connections.Addresses
			}
		}
		_, page := a.get(t, "/metrics")
		for _, line := range lines.FindAllStringSubmatch(page, -1) {
			scraped[line[1]+" of "+line[2]] = int32(parse(t, line[3]))
		}
		if diff := cmp.Diff(wanted, scraped); diff != "" {
			return fmt.Errorf("connections in the metrics (-want +got):\n%s", diff)
		}
		return nil
	})
}

// TestWhoIsConnected opens 50 connections from 20 addresses to a real ss-server and
// to a server with one socket for both families, and closes some of them.
func TestWhoIsConnected(t *testing.T) {
	require(t, "ss-server", "ss")
	t.Parallel()
	ipv4, ipv6 := addressesFrom("10.77.0.10", 14), addressesFrom("fd77::10", 6)
	var all []string
	for _, address := range ipv4 {
		all = append(all, address+"/24")
	}
	for _, address := range ipv6 {
		all = append(all, address+"/64")
	}
	server, client := newNamespace(t), newNamespace(t)
	join(t, server, client, link, []string{serverIPv4 + "/24", serverIPv6 + "/64"}, all)

	ssmonitor := newProduct(t, server)
	testkit.ReplaceFile(t, ssmonitor.list, fmt.Sprintf("%d\n%d\n%d/udp\n# from --port\n%d@172.30.0.2:8388\n", dualPort, shadowsocksPort, udpOnlyPort, forContainerPort))
	server.startShadowsocks(t, shadowsocksPort)
	for _, port := range []int{dualPort, udpOnlyPort, forContainerPort} {
		server.serve(t, port)
	}
	agent := ssmonitor.startCounting(t, "--list", ssmonitor.list)
	none := accounting.Connections{Known: true}
	want := map[uint16]accounting.Connections{dualPort: none, shadowsocksPort: none, udpOnlyPort: {}, forContainerPort: {}}
	agent.waitConnections(t, want)

	leaving := client.connect(t, ipv4[:5], 3, fmt.Sprintf("%s:%d", serverIPv4, shadowsocksPort))
	client.connect(t, ipv4[5:10], 3, fmt.Sprintf("%s:%d", serverIPv4, shadowsocksPort))
	client.connect(t, ipv6, 2, fmt.Sprintf("[%s]:%d", serverIPv6, shadowsocksPort))
	client.connect(t, ipv4[10:], 2, fmt.Sprintf("%s:%d", serverIPv4, dualPort)) // mapped at the server
	client.connect(t, ipv4[:1], 1, fmt.Sprintf("%s:%d", serverIPv4, udpOnlyPort))
	client.connect(t, ipv4[:1], 1, fmt.Sprintf("%s:%d", serverIPv4, forContainerPort))
	// The server itself connects to a remote port of the number of a counted one.
	client.serve(t, shadowsocksPort)
	server.connect(t, []string{serverIPv4}, 1, fmt.Sprintf("%s:%d", ipv4[0], shadowsocksPort))
	want[shadowsocksPort] = accounting.Connections{Known: true, Established: 42, Addresses: 16}
	want[dualPort] = accounting.Connections{Known: true, Established: 8, Addresses: 4}
	agent.waitConnections(t, want)

	// What the server closes first is in TIME_WAIT at its port.
	for _, conn := range client.connect(t, ipv4[:3], 2, fmt.Sprintf("%s:%d", serverIPv4, dualPort)) {
		if _, err := fmt.Fprint(conn, "GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// Its end comes before the client's own.
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		waiting := server.run(t, "ss", "-Htan", "state", "time-wait", fmt.Sprintf("sport = :%d", dualPort))
		if count := strings.Count(waiting, "\n"); count != 6 {
			return fmt.Errorf("%d connections are in TIME_WAIT, want 6:\n%s", count, waiting)
		}
		return nil
	})
	agent.waitConnections(t, want)

	for _, conn := range leaving {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed := time.Now()
	want[shadowsocksPort] = accounting.Connections{Known: true, Established: 27, Addresses: 11}
	agent.waitConnections(t, want)
	if took := time.Since(closed); took > 3*time.Second {
		t.Errorf("the agent saw only after %s that connections were closed", took)
	}
	agent.stop(t)
}
