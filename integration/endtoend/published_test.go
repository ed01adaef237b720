package endtoend_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

// The ports and addresses of the tests with a container.
const (
	publishedPort = 20000 // of the host, translated to the container's
	proxiedPort   = 20001 // of the host, passed on by a program
	containerPort = 8388
	containerIPv4 = "172.30.0.2"
	containerIPv6 = "fd30::2"
)

// engine is what a container engine does for a published port: it translates
// addresses from outside and of the host's own connections, and hides the container
// behind the host's address. The rules are those that Docker writes.
const engine = `
	table %[1]s nat {
		chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump DOCKER; }
		chain OUTPUT { type nat hook output priority -100; policy accept; %[1]s daddr != %[2]s fib daddr type local counter jump DOCKER; }
		chain POSTROUTING {
			type nat hook postrouting priority srcnat; policy accept;
			oifname != "bridge0" %[1]s saddr %[3]s counter masquerade
		}
		chain DOCKER {
			iifname "bridge0" counter return
			%[4]s
		}
	}`

// host is a server with a container behind it, and another network that the
// container reaches through it.
type host struct {
	product
	client, container, elsewhere namespace
}

const (
	elsewhereIPv4 = "10.88.0.2"
	elsewhereIPv6 = "fd88::2"
)

func newHost(t *testing.T) *host {
	t.Helper()
	server, client := newServerAndClient(t)
	h := &host{server, client, newNamespace(t), newNamespace(t)}
	join(t, server.namespace, h.container, "bridge0", []string{"172.30.0.1/24", "fd30::1/64"}, []string{containerIPv4 + "/24", containerIPv6 + "/64"})
	join(t, server.namespace, h.elsewhere, "uplink", []string{"10.88.0.1/24", "fd88::1/64"}, []string{elsewhereIPv4 + "/24", elsewhereIPv6 + "/64"})
	ip(t, "-netns", string(h.container), "route", "add", "default", "via", "172.30.0.1")
	ip(t, "-netns", string(h.container), "-6", "route", "add", "default", "via", "fd30::1")
	h.prepareForwarding(t)
	return h
}

// prepareForwarding turns the server into a router, and has the client's kernel count
// what the client sends and receives: the truth.
func (h *host) prepareForwarding(t *testing.T) {
	t.Helper()
	// A router also reports its multicast groups, so the statistics of the link
	// are not the clients' traffic alone.
	h.client.nft(t, `table inet truth {
		counter sent {}
		counter received {}
		chain output { type filter hook output priority filter; oifname "veth0" meta l4proto { tcp, udp } counter name sent; }
		chain input { type filter hook input priority filter; iifname "veth0" meta l4proto { tcp, udp } counter name received; }
	}`)
	h.run(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
}

// publish has the engine translate the port, for both protocols and families.
func (h *host) publish(t *testing.T) {
	t.Helper()
	dnat := func(to string) (rules string) {
		for _, protocol := range []string{"tcp", "udp"} {
			rules += fmt.Sprintf("%s dport %d counter dnat to %s:%d\n", protocol, publishedPort, to, containerPort)
		}
		return rules
	}
	h.nft(t, fmt.Sprintf(engine, "ip", "127.0.0.0/8", "172.30.0.0/24", dnat(containerIPv4)))
	h.nft(t, fmt.Sprintf(engine, "ip6", "::1", "fd30::/64", dnat("["+containerIPv6+"]")))
}

// carries waits until the counters of the ports together equal what the client has
// sent and received.
func (h *host) carries(t *testing.T, ports ...int) (sum traffic) {
	t.Helper()
	eventually(t, func() error {
		sum = traffic{}
		for _, port := range ports {
			sum = sum.plus(h.counted(t, port))
		}
		truth := h.client.countersOf(t, "truth")
		if carried := (traffic{in: truth["sent"], out: truth["received"]}); sum != carried {
			return fmt.Errorf("counted %+v, the client sent and received %+v", sum, carried)
		}
		return nil
	})
	return sum
}

// TestPublishedPortsAreCountedWhereTheyAreForwarded has a real Shadowsocks in a
// container and another on the host, both used at once over both protocols and
// families, while the container fetches and sends megabytes from and to a remote
// port of the same number.
func TestPublishedPortsAreCountedWhereTheyAreForwarded(t *testing.T) {
	require(t, "ss-server", "ss-local", "ss-tunnel", "curl", "ss")
	t.Parallel()
	const hostPort = 8390
	h := newHost(t)
	h.publish(t)
	if report := h.setup(t, "--port", fmt.Sprintf("%d=published", publishedPort), "--port", fmt.Sprint(hostPort)); !strings.Contains(report, "tcp, udp, forwarded") {
		t.Errorf("setup does not say that a port is published:\n%s", report)
	}
	agent := h.startCounting(t, "--list", h.list)
	h.container.startShadowsocks(t, containerPort)
	h.startShadowsocks(t, hostPort)
	h.serve(t, targetPort)
	h.elsewhere.serve(t, publishedPort)
	for _, address := range []string{elsewhereIPv4, "[" + elsewhereIPv6 + "]"} {
		begin(t, h.container.command("curl", "--silent", "--globoff", "--output", "/dev/null",
			fmt.Sprintf("http://%s:%d/%d", address, publishedPort, 1_000_000*megabyte)))
		h.container.startSending(t, sending{to: fmt.Sprintf("%s:%d", address, publishedPort), perSecond: 1000, size: 1000})
	}
	clients := []shadowsocksClient{
		startShadowsocksClient(t, h.client, serverIPv4, publishedPort, 1080, password),
		startShadowsocksClient(t, h.client, serverIPv6, publishedPort, 1082, password),
		startShadowsocksClient(t, h.client, serverIPv4, hostPort, 1084, password),
		startShadowsocksClient(t, h.client, serverIPv6, hostPort, 1086, password),
	}
	for _, client := range clients {
		before := h.carries(t, publishedPort, hostPort)
		client.download(t, 2*megabyte)
		client.upload(t, 2*megabyte)
		client.echo(t, 50, 1000)
		after := h.carries(t, publishedPort, hostPort)
		if in, out := after.in.Bytes-before.in.Bytes, after.out.Bytes-before.out.Bytes; in < 2*megabyte+50_000 || out < 2*megabyte+50_000 {
			t.Errorf("counted %d bytes in and %d out, which is below the payload", in, out)
		}
	}
	if fetched := h.statistics(t, "uplink"); fetched.in.Bytes < 5*megabyte || fetched.out.Bytes < megabyte {
		t.Errorf("the container only fetched %+v meanwhile", fetched)
	}
	for _, port := range []int{publishedPort, hostPort} {
		if counted := h.counted(t, port); counted.in.Bytes < 4*megabyte || counted.out.Bytes < 4*megabyte {
			t.Errorf("port %d has only %+v of the traffic", port, counted)
		}
	}
	agent.stop(t)
	if said := agent.stderr.String(); strings.Contains(said, "repair") {
		t.Errorf("the agent repaired what was right:\n%s", said)
	}
}

// TestPortThatIsPublishedLater starts with a port that nobody publishes. What
// knows the port follows the ruleset, so that the agent counts what is forwarded
// soon after.
func TestPortThatIsPublishedLater(t *testing.T) {
	require(t, "curl", "ss")
	t.Parallel()
	tests := []struct {
		name  string
		start func(t *testing.T, h *host) agent
	}{
		{"setup", func(t *testing.T, h *host) agent {
			start(t, h.ssmonitor(nil, "setup", "--follow", "--list", h.list, "--port", fmt.Sprint(publishedPort)))
			h.waitListing(t, publishedPort)
			return h.startAgent(t, "--list", h.list)
		}},
		{"run", func(t *testing.T, h *host) agent { return h.startAgent(t, "--port", fmt.Sprint(publishedPort)) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			testPublishedLater(t, test.start)
		})
	}
}

func testPublishedLater(t *testing.T, startCounting func(t *testing.T, h *host) agent) {
	h := newHost(t)
	agent := startCounting(t, h)
	agent.waitServing(t, publishedPort)
	h.waitNothingForwarded(t)
	h.nft(t, "table ip other {}") // is no concern of anybody
	h.publish(t)
	h.waitCounted(t, containerPort, publishedPort)
	h.container.serve(t, containerPort)
	h.client.curl(t, fmt.Sprintf("http://%s:%d/%d", serverIPv4, publishedPort, megabyte))
	h.client.exchange(t, fmt.Sprintf("[%s]:%d", serverIPv6, publishedPort), 20, 1000)
	total := h.carries(t, publishedPort)
	h.nft(t, "delete table ip nat; delete table ip6 nat")
	h.waitNothingForwarded(t)
	if counted := h.counted(t, publishedPort); counted != total {
		t.Errorf("counted were %+v, and are %+v", total, counted)
	}
	agent.stop(t)
	if said := agent.stderr.String(); strings.Contains(said, "WARN") {
		t.Errorf("the agent found something wrong:\n%s", said)
	}
}

// setUp sets up the ports and returns those that are counted where the host
// forwards their packets.
func (h *host) setUp(t *testing.T, ports ...int) (forwarded []int) {
	t.Helper()
	arguments := []string{"--json"}
	for _, port := range ports {
		arguments = append(arguments, "--port", fmt.Sprint(port))
	}
	var report struct {
		Ports []struct {
			Port      int
			Published bool
		}
	}
	if err := json.Unmarshal([]byte(h.setup(t, arguments...)), &report); err != nil {
		t.Fatal(err)
	}
	for _, port := range report.Ports {
		if port.Published {
			forwarded = append(forwarded, port.Port)
		}
	}
	return forwarded
}

// transmit downloads and uploads a megabyte and exchanges datagrams with the port.
// The counters of all ports must equal what the client has sent and received since
// setUp, and those of this port have grown by the payload.
func (h *host) transmit(t *testing.T, address string, port int, all ...int) {
	t.Helper()
	to := net.JoinHostPort(address, fmt.Sprint(port))
	h.client.waitAnswering(t, to)
	before := h.counted(t, port)
	h.client.curl(t, fmt.Sprintf("http://%s/%d", to, megabyte))
	h.client.curl(t, "--upload-file", fileOf(t, megabyte), "http://"+to+"/")
	h.client.exchange(t, to, 20, 1000)
	h.carries(t, all...)
	after := h.counted(t, port)
	if in, out := after.in.Bytes-before.in.Bytes, after.out.Bytes-before.out.Bytes; in < megabyte+20_000 || out < megabyte+20_000 {
		t.Errorf("%s: counted %d bytes in and %d out, which is below the payload", to, in, out)
	}
}

// waitAnswering waits until the server answers. A container that has just started
// may not listen yet, and may still look for other users of its IPv6 address.
func (n namespace) waitAnswering(t *testing.T, to string) {
	t.Helper()
	eventually(t, func() error {
		output, err := n.command("curl", "--silent", "--show-error", "--fail", "--globoff", "--noproxy", "",
			"--max-time", "2", "http://"+to+"/0").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", to, err, output)
		}
		return nil
	})
}

// startDockerProxy starts what Docker starts for a published port: for each
// protocol and family a program that passes the data on to the container.
func (h *host) startDockerProxy(t *testing.T, port, containerPort int) {
	t.Helper()
	ready, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // where Docker's daemon waits for an answer
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ready.Close() }()
	var proxies []*program
	for _, protocol := range []string{"tcp", "udp"} {
		for _, address := range []string{"0.0.0.0", "::"} {
			proxy := h.command("docker-proxy", "-proto", protocol, "-host-ip", address, "-host-port", fmt.Sprint(port),
				"-container-ip", containerIPv4, "-container-port", fmt.Sprint(containerPort))
			proxy.ExtraFiles = []*os.File{ready}
			proxies = append(proxies, start(t, proxy))
		}
	}
	h.waitSockets(t, port, 4, proxies...)
}

// waitSockets waits until the programs listen at the port with so many sockets.
// It skips the test if one of them does not run on this machine.
func (n namespace) waitSockets(t *testing.T, port, count int, programs ...*program) {
	t.Helper()
	eventually(t, func() error {
		for _, p := range programs {
			select {
			case <-p.done:
				t.Skipf("%s does not run here: %s\n%s", p, &p.stdout, &p.stderr)
			default:
			}
		}
		listening := n.run(t, "ss", "-Hlntu", fmt.Sprintf("sport = :%d", port))
		if got := strings.Count(listening, "\n"); got != count {
			return fmt.Errorf("port %d has %d sockets, want %d:\n%s", port, got, count, listening)
		}
		return nil
	})
}

// TestUserSpaceProxiesAreCountedOnce has a port that only Docker's proxy passes on,
// to the same port of the container, and one that is published by translation as
// well: its proxy gets the connections to loopback.
func TestUserSpaceProxiesAreCountedOnce(t *testing.T) {
	require(t, "curl", "ss", "docker-proxy")
	t.Parallel()
	h := newHost(t)
	h.publish(t)
	for port, inside := range map[int]int{publishedPort: containerPort, proxiedPort: proxiedPort} {
		h.container.serve(t, inside)
		h.startDockerProxy(t, port, inside)
	}
	if forwarded := h.setUp(t, publishedPort, proxiedPort); !slices.Equal(forwarded, []int{publishedPort}) {
		t.Errorf("counted where they are forwarded: %v, want %d", forwarded, publishedPort)
	}
	for _, port := range []int{publishedPort, proxiedPort} {
		for _, address := range []string{serverIPv4, serverIPv6} {
			h.transmit(t, address, port, publishedPort, proxiedPort)
		}
	}

	// Connections to loopback are not translated: the program takes them. lo splits
	// packets after they were counted, so its statistics are a little higher.
	before := h.counters(t)
	to := fmt.Sprintf("127.0.0.1:%d", publishedPort)
	h.curl(t, fmt.Sprintf("http://%s/%d", to, megabyte))
	h.exchange(t, to, 20, 1000)
	after := h.counters(t)
	for _, direction := range []string{"in", "out"} {
		name := fmt.Sprintf("udp-%d-%s", publishedPort, direction)
		if got := after[name].Bytes - before[name].Bytes; got != 20*1028 {
			t.Errorf("%s counted %d bytes over loopback, want %d", name, got, 20*1028)
		}
	}
	name := fmt.Sprintf("tcp-%d-out", publishedPort)
	if got := after[name].Bytes - before[name].Bytes; got < megabyte || got > megabyte*11/10 {
		t.Errorf("%s counted %d bytes over loopback for a payload of %d", name, got, megabyte)
	}
}
