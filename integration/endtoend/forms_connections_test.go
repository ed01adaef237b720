package endtoend_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// forgetConnections deletes every connection entry, as `conntrack -F` does.
func (n namespace) forgetConnections(t *testing.T) {
	t.Helper()
	const deleteEntries = 1<<8 | 2 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
	n.askConntrack(t, deleteEntries, netlink.Acknowledge)
}

// connections returns how many connection entries there are. The kernel may keep one
// that has ended for minutes, and lets it go when somebody asks.
func (n namespace) connections(t *testing.T) int {
	t.Helper()
	const getEntries = 1<<8 | 1 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
	return len(n.askConntrack(t, getEntries, netlink.Dump))
}

func (n namespace) askConntrack(t *testing.T, what netlink.HeaderType, flags netlink.HeaderFlags) (answers []netlink.Message) {
	t.Helper()
	n.within(t, func(*os.File) error {
		conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		answers, err = conn.Execute(netlink.Message{
			Header: netlink.Header{Type: what, Flags: netlink.Request | flags},
			Data:   make([]byte, 4), // of every family
		})
		return err
	})
	return answers
}

// flow is a connection of the client with a program in a container.
type flow struct {
	name              string
	client, container io.ReadWriter
}

// datagrams reads and writes the datagrams of one peer.
type datagrams struct {
	*net.UDPConn
	peer netip.AddrPort
}

func (d datagrams) Write(payload []byte) (int, error) {
	return d.WriteToUDPAddrPort(payload, d.peer)
}

// open opens a flow to a port of the server that leads to a port of the container.
func (h *host) open(t *testing.T, protocol, address string, port, inside int) flow {
	t.Helper()
	f := flow{name: fmt.Sprintf("%s %s port %d", protocol, address, port)}
	var listener net.Listener
	var socket *net.UDPConn
	own := net.JoinHostPort(map[bool]string{true: containerIPv6, false: containerIPv4}[strings.Contains(address, ":")], fmt.Sprint(inside))
	h.container.within(t, func(*os.File) (err error) {
		if protocol == "tcp" {
			listener, err = net.Listen(protocol, own)
		} else {
			socket, err = net.ListenUDP(protocol, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(own)))
		}
		return err
	})
	deadline := time.Now().Add(2 * patience)
	h.client.within(t, func(*os.File) error {
		conn, err := net.DialTimeout(protocol, net.JoinHostPort(address, fmt.Sprint(port)), patience)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		f.client = conn
		return conn.SetDeadline(deadline)
	})
	if protocol == "tcp" {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		t.Cleanup(func() { _ = conn.Close() })
		f.container = conn
		if err := conn.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		return f
	}
	t.Cleanup(func() { _ = socket.Close() })
	if _, err := f.client.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := socket.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	_, peer, err := socket.ReadFromUDPAddrPort(make([]byte, 100))
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	f.container = datagrams{socket, peer}
	return f
}

// openAll opens a flow for each protocol and family.
func (h *host) openAll(t *testing.T, port, inside int) (flows []flow) {
	t.Helper()
	for _, family := range formFamilies {
		for _, protocol := range []string{"tcp", "udp"} {
			flows = append(flows, h.open(t, protocol, family.host, port, inside))
		}
	}
	return flows
}

// passed is what pass sends in each direction, without headers.
const passed = 50 * 1000

// pass sends from one end of a flow to the other, and back, in turns. The container
// begins.
func (f flow) pass(t *testing.T) {
	t.Helper()
	buffer := make([]byte, 1000)
	for range passed / len(buffer) {
		for _, ends := range [][2]io.ReadWriter{{f.container, f.client}, {f.client, f.container}} {
			if _, err := ends[0].Write(buffer); err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
			if _, err := io.ReadFull(ends[1], buffer); err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
		}
	}
}

// expectExact fails the test unless what the client has sent and received was
// counted, and is at least so many bytes each way.
func (g *growth) expectExact(t *testing.T, least uint64) {
	t.Helper()
	carried, err := g.isExact(t)
	if err != nil {
		t.Error(err)
	}
	if carried.in.Bytes < least || carried.out.Bytes < least {
		t.Errorf("the client only sent and received %+v", carried)
	}
}

// expectCalm fails the test if the agent has found fault with its table.
func (a agent) expectCalm(t *testing.T) {
	t.Helper()
	if log := a.stderr.String(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
		t.Errorf("the agent warns:\n%s", log)
	}
	_, page := a.get(t, "/metrics")
	for _, name := range []string{"ruleset_reinstalls_total", "resets_total", "uncertain_seconds_total"} {
		if !strings.Contains(page, name+" 0\n") {
			t.Errorf("%s is not 0 in\n%s", name, page)
		}
	}
}

// translate publishes ports of the server, and no others, each to a port of the
// container.
func (h *host) translate(t *testing.T, inside map[int]int) {
	t.Helper()
	var rules strings.Builder
	for _, family := range formFamilies {
		fmt.Fprintf(&rules, "table %s nat { chain prerouting { type nat hook prerouting priority dstnat; policy accept;\n", family.ip)
		for port, to := range inside {
			fmt.Fprintf(&rules, "fib daddr type local meta l4proto { tcp, udp } th dport %d dnat to %s\n", port, netip.AddrPortFrom(family.containerAddress(2), uint16(to)))
		}
		rules.WriteString("}; }\n")
	}
	h.replaceRules(t, rules.String())
}

// waitCounted waits until the table counts the container's port as the ports of the
// server, or not at all if there are none.
func (h *host) waitCounted(t *testing.T, inside int, ports ...int) {
	t.Helper()
	eventually(t, func() error {
		listing := h.run(t, "nft", "list", "table", "inet", "ssmonitor")
		for _, family := range formFamilies {
			for _, protocol := range []string{"tcp", "udp"} {
				element := fmt.Sprintf("%s . %s . %d : ", family.containerAddress(2), protocol, inside)
				if got := strings.Count(listing, element); got != 2*len(ports) {
					return fmt.Errorf("want %d elements %s in\n%s", 2*len(ports), element, listing)
				}
				for _, port := range ports {
					if !strings.Contains(listing, fmt.Sprintf("%s\"%s-%d-in\"", element, protocol, port)) {
						return fmt.Errorf("%s does not lead to port %d in\n%s", element, port, listing)
					}
				}
			}
		}
		return nil
	})
}

// look has the agent look at the ruleset again.
func (h *host) look(t *testing.T) {
	t.Helper()
	h.nft(t, "table ip other {}; delete table ip other")
}

// waitNothingForwarded waits until nothing is counted where the host forwards packets.
func (h *host) waitNothingForwarded(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		h.forgetConnections(t) // again: a late packet may make an entry
		h.look(t)
		if listing := h.run(t, "nft", "list", "table", "inet", "ssmonitor"); strings.Contains(listing, "hook forward") {
			return fmt.Errorf("the chains at forward stay:\n%s", listing)
		}
		return nil
	})
}

// TestContainerSendsFirst deletes the connection entries of live connections, after
// which the container sends first: the new entries have begun at its side. It has
// the number of the published port, so that the client still knows the sender.
func TestContainerSendsFirst(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.hideContainers(t)
	h.translate(t, map[int]int{publishedPort: publishedPort})
	agent := h.startCounting(t, "--port", fmt.Sprint(publishedPort))
	g := h.since(t, publishedPort)
	flows := h.openAll(t, publishedPort, publishedPort)
	for range 2 {
		h.forgetConnections(t)
		for _, f := range flows {
			f.pass(t)
		}
	}
	g.expectExact(t, 8*passed)

	// An agent that starts now finds the same.
	agent.expectCalm(t)
	agent.stop(t)
	agent = h.startCounting(t, "--port", fmt.Sprint(publishedPort))
	h.forgetConnections(t)
	for _, f := range flows {
		f.pass(t)
	}
	g.expectExact(t, 12*passed)
	agent.expectCalm(t)
	agent.stop(t)
}

// TestIdleFlowThatTheContainerWakes has entries that end by themselves, soon.
func TestIdleFlowThatTheContainerWakes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.hideContainers(t)
	h.translate(t, map[int]int{publishedPort: publishedPort})
	h.run(t, "sh", "-c", "cd /proc/sys/net/netfilter; echo 1 > nf_conntrack_udp_timeout; echo 1 > nf_conntrack_udp_timeout_stream")
	h.setup(t, "--port", fmt.Sprint(publishedPort))
	agent := h.startCounting(t, "--list", h.list)
	g := h.since(t, publishedPort)
	var flows []flow
	for _, family := range formFamilies {
		flows = append(flows, h.open(t, "udp", family.host, publishedPort, publishedPort))
	}
	eventually(t, func() error {
		if count := h.connections(t); count > 0 {
			return fmt.Errorf("%d connection entries are left", count)
		}
		return nil
	})
	for _, f := range flows {
		f.pass(t)
	}
	g.expectExact(t, 2*passed)
	agent.expectCalm(t)
	agent.stop(t)
}

// TestRuleThatGoesWhileConnectionsLive removes the rules that publish, five times,
// while connections live, and after these have ended.
func TestRuleThatGoesWhileConnectionsLive(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.hideContainers(t)
	setup := start(t, h.ssmonitor(nil, "setup", "--follow", "--list", h.list, "--port", fmt.Sprint(publishedPort)))
	h.waitListing(t, publishedPort)
	agent := h.startCounting(t, "--list", h.list)
	g := h.since(t, publishedPort)
	var flows []flow
	for range 5 {
		h.translate(t, map[int]int{publishedPort: publishedPort})
		h.waitCounted(t, publishedPort, publishedPort)
		if flows == nil {
			flows = h.openAll(t, publishedPort, publishedPort)
			eventually(t, func() error { // all is well, which is no warning
				if log := setup.stderr.String(); !strings.Contains(log, `level=INFO msg="port 20000: published by chain`) {
					return fmt.Errorf("setup does not note what is published:\n%s", log)
				}
				return nil
			})
		}
		h.translate(t, nil)
		agent.waitIntervals(t, 3)
		for _, f := range flows {
			f.pass(t)
		}
		g.expectExact(t, 0)
	}
	g.expectExact(t, 20*passed)
	h.forgetConnections(t)
	for _, f := range flows { // which the container wakes
		f.pass(t)
	}
	h.look(t)
	agent.waitIntervals(t, 3)
	h.waitCounted(t, publishedPort, publishedPort)
	g.expectExact(t, 24*passed)

	abandon(flows)
	h.waitNothingForwarded(t)
	agent.expectCalm(t)
	agent.stop(t)
}

// TestAddressThatIsAnothers gives the address of a container, with which connections
// live, to another one: its traffic is not the first one's.
func TestAddressThatIsAnothers(t *testing.T) {
	t.Parallel()
	const bob, nobody = publishedPort + 1, publishedPort + 2
	h := newHost(t)
	h.hideContainers(t)
	h.translate(t, map[int]int{publishedPort: containerPort})
	agent := h.startCounting(t, "--port", fmt.Sprintf("%d-%d", publishedPort, bob))
	h.waitCounted(t, containerPort, publishedPort)
	g := h.since(t, publishedPort, bob)
	abandon(h.openAll(t, publishedPort, containerPort))
	g.expectExact(t, 0)
	h.translate(t, map[int]int{bob: containerPort})
	h.waitCounted(t, containerPort, bob)
	before, g := h.counted(t, publishedPort), h.since(t, bob)
	abandon(h.openAll(t, bob, containerPort))
	g.expectExact(t, 0)
	if after := h.counted(t, publishedPort); after != before {
		t.Errorf("port %d was charged %+v of what is another's", publishedPort, after.minus(before))
	}

	h.translate(t, map[int]int{nobody: containerPort})
	h.waitCounted(t, containerPort)
	before = h.counted(t, publishedPort).plus(h.counted(t, bob))
	for _, f := range h.openAll(t, nobody, containerPort) {
		f.pass(t)
	}
	agent.waitIntervals(t, 1)
	if after := h.counted(t, publishedPort).plus(h.counted(t, bob)); after != before {
		t.Errorf("the ports were charged %+v of what is nobody's", after.minus(before))
	}
	agent.expectCalm(t)
	agent.stop(t)
}

// abandon closes flows. Their connection entries stay for minutes.
func abandon(flows []flow) {
	for _, f := range flows {
		_ = f.client.(io.Closer).Close()
		_ = f.container.(io.Closer).Close()
	}
}
