package endtoend_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// What the containers of a host reach by translation: a proxy on another host, and
// remote servers that they mean to reach.
const (
	proxyPort  = 3129 // and above
	remoteIPv4 = "192.0.2.9"
	remoteIPv6 = "2001:db8::9"
	formSize   = 50_000
)

// newHostWithProxy returns a host whose clients have a counted port that no container
// has, and of which the container's other traffic can be sent to a proxy: every port
// of the network elsewhere answers.
func newHostWithProxy(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.hideContainers(t)
	ip(t, "-netns", string(h.namespace), "route", "add", "default", "via", clientIPv4)
	ip(t, "-netns", string(h.namespace), "-6", "route", "add", "default", "via", clientIPv6)
	h.elsewhere.serve(t, proxyPort)
	h.elsewhere.nft(t, fmt.Sprintf(`table inet every {
		chain prerouting { type nat hook prerouting priority dstnat; meta l4proto { tcp, udp } redirect to :%d; }
	}`, proxyPort))
	return h
}

// fetch has the container use a port of a remote server, which nobody has but the
// proxy or the host.
func (h *host) fetch(t *testing.T, port int) {
	t.Helper()
	for _, remote := range []string{remoteIPv4, remoteIPv6} {
		for _, protocol := range []string{"tcp", "udp"} {
			if err := h.container.visit(t, protocol, net.JoinHostPort(remote, fmt.Sprint(port)), formSize); err != nil {
				t.Error(err)
			}
		}
	}
}

// visitAll uses a port of the server as a client does, over both protocols and families.
func (h *host) visitAll(t *testing.T, port int) {
	t.Helper()
	for _, family := range formFamilies {
		for _, protocol := range []string{"tcp", "udp"} {
			if err := h.client.visit(t, protocol, net.JoinHostPort(family.host, fmt.Sprint(port)), formSize); err != nil {
				t.Error(err)
			}
		}
	}
}

// outgoing are rules for what containers fetch from a port of remote servers that is a
// counted one here.
func outgoing() []form {
	to := func(condition string) string {
		return natChain(condition + " tcp dport 20000 dnat to {proxy}\n" + condition + " udp dport 20000 dnat to {proxy}\n")
	}
	xt := func(condition string) string {
		return "*nat\n-A PREROUTING " + condition + " -p tcp --dport 20000 -j DNAT --to-destination {proxy}\n" +
			"-A PREROUTING " + condition + " -p udp --dport 20000 -j DNAT --to-destination {proxy}\nCOMMIT\n"
	}
	return []form{
		{name: "by the interface", nft: to(`iifname "bridge0"`)},
		{name: "by its index", nft: to(`iif "bridge0"`)},
		{name: "by a set of interfaces", nft: to(`iifname { "docker0", "bridge0" }`)},
		{name: "by a pattern of interfaces", nft: to(`iifname "bridge*"`)},
		{name: "by the source", nft: to(`{ip} saddr {network}`)},
		{name: "by a set of sources", nft: "table {ip} nat { set containers { type {type}; flags interval; elements = { {network} }; }; }\n" + to(`{ip} saddr @containers`)},
		{name: "by iptables and the interface", xt: xt("-i bridge0")},
		{name: "by iptables and the source", xt: xt("-s {network}")},
		{name: "by the interface, after what an engine publishes", nft: to("fib daddr type local tcp dport 20002 accept\niifname \"bridge0\"")},
		{name: "by iptables and the interface, after what an engine publishes", xt: strings.Replace(xt("-i bridge0"), "*nat\n",
			"*nat\n:ENGINE -\n-A PREROUTING -m addrtype --dst-type LOCAL -j ENGINE\n-A ENGINE -p tcp --dport 20002 -j DNAT --to-destination {proxy}\n", 1)},
		{name: "by any interface but the uplink", nft: to(`iifname != "` + link + `"`)},
		{name: "by iptables and any interface but the uplink", xt: xt("! -i " + link)},
		{name: "by what is not for this host", nft: to(`fib daddr type != local`)},
		{name: "by what is for other hosts", nft: to(`{ip} daddr != { {host}, {own}, {uplink} }`)},
		{name: "by what is not for one address of this host", nft: to(`{ip} daddr != {host}`)},
		{name: "after what is for this host", nft: natChain("{ip} daddr { {host}, {own} } return\nmeta l4proto { tcp, udp } th dport 20000 dnat to {proxy}")},
		{name: "redirected to this host", nft: natChain(`iifname "bridge0" meta l4proto { tcp, udp } th dport 20000 redirect to :3129`)},
		{name: "by all interfaces but the uplink", nft: to(`iifname != { "veth0", "wan*" }`)},
		{name: "by the index of all but the uplink", nft: to(`iif != "veth0"`)},
		{name: "by patterns of interfaces", nft: to(`iifname { "bridge*", "docker*" }`)},
		{name: "after what comes by the uplink", nft: natChain("iifname \"veth0\" return\nmeta l4proto { tcp, udp } th dport 20000 dnat to {proxy}")},
		{name: "by what is left of a map of interfaces", nft: natChain(`iifname vmap { "veth0" : accept, * : jump lan }
			}
			chain lan { meta l4proto { tcp, udp } th dport 20000 dnat to {proxy};`)},
		{name: "by a mark of all but the uplink", nft: to(`meta mark 7`) + `table {ip} mangle { chain prerouting { type filter hook prerouting priority mangle; iifname != "veth0" meta mark set 7; }; }
		`},
		{name: "by the route to the sender", nft: to(`fib saddr oifname "bridge0"`)},
		{name: "by a group of interfaces", xt: xt("-m devgroup --src-group 7")},
		{name: "by iptables and a range of sources", xt: xt("-m iprange --src-range {range}")},
		{name: "by iptables and all interfaces but the uplink", xt: xt("! -i veth0")},
		{name: "translated to this host", nft: natChain(`iifname "bridge0" meta l4proto { tcp, udp } th dport 20000 dnat to {own proxy}`)},
	}
}

// TestOutgoingTranslationIsNoPublishing sends what a container fetches from remote
// servers to a proxy, while clients use the same port of this host: of a program that
// starts after all rules, and of a container.
func TestOutgoingTranslationIsNoPublishing(t *testing.T) {
	require(t, "ss", "iptables-nft-restore", "ip6tables-nft-restore")
	t.Parallel()
	for name, published := range map[string]string{
		"a program's port": "",
		"a container's port": `table {ip} engine {
			chain prerouting { type nat hook prerouting priority dstnat + 5; fib daddr type local meta l4proto { tcp, udp } th dport 20000 dnat to {container}; }
		}
		`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testOutgoing(t, published)
		})
	}
}

func testOutgoing(t *testing.T, published string) {
	h := newHostWithProxy(t)
	ip(t, "-netns", string(h.namespace), "link", "set", "bridge0", "group", "7")
	h.serve(t, proxyPort)
	agent := h.startCounting(t, "--port", fmt.Sprint(publishedPort))
	for number, f := range outgoing() {
		if number == 1 { // what serves the clients starts after the first rules are known
			h.container.serve(t, containerPort)
			h.serve(t, publishedPort)
		}
		t.Run(f.name, func(t *testing.T) {
			f.nft += published
			h.load(t, f, number)
			agent.waitIntervals(t, 2)
			g := h.since(t, publishedPort)
			h.fetch(t, publishedPort)
			g.expectExact(t, 0)
			if number == 0 {
				return
			}
			h.look(t) // while there are entries of what was fetched
			agent.waitIntervals(t, 2)
			h.visitAll(t, publishedPort)
			h.fetch(t, publishedPort)
			h.visitAll(t, publishedPort)
			g.expectExact(t, 4*formSize)
		})
	}
	agent.expectCalm(t)
	agent.stop(t)
}
