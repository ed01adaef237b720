package endtoend_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// expectChecked fails the test unless `ssmonitor check` writes each of the words.
func (p product) expectChecked(t *testing.T, words ...string) {
	t.Helper()
	check := begin(t, p.ssmonitor(nil, "check", "--list", p.list))
	check.wait(t)
	for _, word := range words {
		if report := strings.Join(strings.Fields(check.stdout.String()), " "); !strings.Contains(report, word) {
			t.Errorf("check does not write %q but:\n%s%s", word, &check.stdout, &check.stderr)
		}
	}
}

// TestContainerThatPublishesAnotherNumber has a container that serves the port of a
// configuration, which the host publishes as another one.
func TestContainerThatPublishesAnotherNumber(t *testing.T) {
	require(t, "ss")
	t.Parallel()
	const outside = 18388
	h := newHost(t)
	h.hideContainers(t)
	h.container.serve(t, containerPort)
	h.translate(t, map[int]int{outside: containerPort})
	setup := begin(t, h.ssmonitor(nil, "setup", "--list", h.list, "--port", fmt.Sprint(containerPort)))
	setup.endsWith(t, 0, "port 8388: chain ip nat prerouting publishes it as port 18388", `add "8388@172.30.0.2:8388" to the ports in`, `add "18388" to the ports in`)
	agent := h.startCounting(t, "--list", h.list)
	h.expectChecked(t, "WRONG port 8388: chain ip nat prerouting publishes it as port 18388", `add "8388@172.30.0.2:8388" to`, `add "8388@[fd30::2]:8388" to`)

	h.setup(t, "--port", "8388@172.30.0.2:8388@[fd30::2]:8388")
	h.waitCounted(t, containerPort, containerPort)
	h.expectChecked(t, "ok port 8388: published by the settings (@) to 172.30.0.2:8388")
	g := h.since(t, containerPort)
	h.visitAll(t, outside)
	g.expectExact(t, 4*formSize)
	agent.stop(t)
	h.visitAll(t, outside)
	g.expectExact(t, 8*formSize)
}

// TestTwoPortsOfOneContainer publishes two counted ports to one port of a container.
func TestTwoPortsOfOneContainer(t *testing.T) {
	require(t, "ss")
	t.Parallel()
	const first, second = publishedPort, publishedPort + 1
	h := newHost(t)
	h.hideContainers(t)
	h.container.serve(t, containerPort)
	h.translate(t, map[int]int{first: containerPort, second: containerPort})
	h.setup(t, "--port", fmt.Sprintf("%d-%d", first, second))
	agent := h.startCounting(t, "--list", h.list)
	h.expectChecked(t, "ports 20000 and 20001 are both published to tcp 172.30.0.2:8388")
	for _, port := range []int{first, second, first} {
		g, others := h.since(t, port), h.counted(t, first+second-port)
		h.visitAll(t, port)
		g.expectExact(t, 4*formSize)
		if after := h.counted(t, first+second-port); after != others {
			t.Errorf("%+v of port %d are charged to the other one", after.minus(others), port)
		}
	}
	agent.expectCalm(t)
	agent.stop(t)
}

// legacy loads rules with iptables-legacy, whose rules only the kernel's old interface
// shows.
func (h *host) legacy(t *testing.T, port, inside int) {
	t.Helper()
	for _, family := range formFamilies {
		restore := h.command(map[string]string{"ip": "iptables-legacy-restore", "ip6": "ip6tables-legacy-restore"}[family.ip])
		rules := "*nat\n"
		for _, protocol := range []string{"tcp", "udp"} {
			rules += fmt.Sprintf("-A PREROUTING -m addrtype --dst-type LOCAL -p %s --dport %d -j DNAT --to-destination %s\n",
				protocol, port, netip.AddrPortFrom(family.containerAddress(2), uint16(inside)))
		}
		restore.Stdin = strings.NewReader(rules + "COMMIT\n")
		if output, err := restore.CombinedOutput(); err != nil {
			testkit.Missing(t, "iptables-legacy does not work here: %v\n%s", err, output)
		}
	}
}

// TestPublishedByLegacyIptables has rules that nobody can read: connection entries
// show what they do.
func TestPublishedByLegacyIptables(t *testing.T) {
	require(t, "ss", "iptables-legacy-restore", "ip6tables-legacy-restore")
	t.Parallel()
	h := newHost(t)
	h.hideContainers(t)
	h.legacy(t, publishedPort, publishedPort)
	setup := begin(t, h.ssmonitor(nil, "setup", "--list", h.list, "--port", fmt.Sprint(publishedPort)))
	setup.endsWith(t, 0, "iptables-legacy", "hook: container")
	agent := h.startCounting(t, "--list", h.list)
	h.expectChecked(t, "unknown iptables-legacy has a table nat", "hook: container", "PORT@ADDRESS:PORT")
	g := h.since(t, publishedPort)
	flows := h.openAll(t, publishedPort, publishedPort)
	for _, f := range flows {
		f.pass(t)
	}
	g.expectExact(t, 4*passed)

	// Once the agent knows the target by a connection, it needs no entry.
	h.look(t)
	h.waitCounted(t, publishedPort, publishedPort)
	h.forgetConnections(t)
	for _, f := range flows {
		f.pass(t)
	}
	g.expectExact(t, 8*passed)
	if log := agent.stderr.String(); strings.Contains(log, "repair") || strings.Contains(log, "ERROR") {
		t.Errorf("the agent finds fault with its table:\n%s", log)
	}
	agent.stop(t)
}

// TestLegacyIptablesThatPublishesAnotherNumber shows by its connections which number a
// container is published under.
func TestLegacyIptablesThatPublishesAnotherNumber(t *testing.T) {
	require(t, "ss", "iptables-legacy-restore", "ip6tables-legacy-restore")
	t.Parallel()
	const outside = 18388
	h := newHost(t)
	h.hideContainers(t)
	h.legacy(t, outside, containerPort)
	arguments := []string{"setup", "--list", h.list, "--port", fmt.Sprint(containerPort)}
	begin(t, h.ssmonitor(nil, arguments...)).endsWith(t, 0, "iptables-legacy -t nat -S")
	for _, f := range h.openAll(t, outside, containerPort) {
		f.pass(t)
	}
	for _, more := range []string{"--dry-run", "--json"} {
		begin(t, h.ssmonitor(nil, append(arguments, more)...)).endsWith(t, 0,
			"port 8388: a rule that can't be read, as connections show, publishes it as port 18388", `add "8388@172.30.0.2:8388" to the ports in`)
	}
	h.expectChecked(t, "WRONG port 8388: a rule that can't be read, as connections show, publishes it as port 18388")
}

// TestAddressThatComesLater publishes by an address that the host gets later, as by
// DHCP at boot, or when it takes the place of another host.
func TestAddressThatComesLater(t *testing.T) {
	require(t, "ss")
	t.Parallel()
	const later = "10.77.0.99"
	h := newHost(t)
	h.hideContainers(t)
	h.container.serve(t, containerPort)
	h.nft(t, fmt.Sprintf(`table ip nat {
		chain prerouting { type nat hook prerouting priority dstnat; ip daddr %s meta l4proto { tcp, udp } th dport %d dnat to %s:%d; }
	}`, later, publishedPort, containerIPv4, containerPort))
	agent := h.startCounting(t, "--port", fmt.Sprint(publishedPort))
	agent.waitIntervals(t, 2)
	ip(t, "-netns", string(h.namespace), "address", "add", later+"/32", "dev", link)
	ip(t, "-netns", string(h.client), "neighbour", "replace", later, "lladdr", "02:00:00:00:77:01", "dev", link, "nud", "permanent")
	agent.waitSaying(t, "published by chain ip nat prerouting to 172.30.0.2:8388")
	g := h.since(t, publishedPort)
	for _, protocol := range []string{"tcp", "udp"} {
		if err := h.client.visit(t, protocol, net.JoinHostPort(later, fmt.Sprint(publishedPort)), formSize); err != nil {
			t.Error(err)
		}
	}
	g.expectExact(t, 2*formSize)
	agent.expectCalm(t)
	agent.stop(t)
}
