package endtoend_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// hop leads a range of ports, of which clients use one after another, to one port.
func (h *host) hop(t *testing.T, verdict func(family) string) {
	t.Helper()
	var rules strings.Builder
	for _, family := range formFamilies {
		fmt.Fprintf(&rules, `table %s nat { chain prerouting { type nat hook prerouting priority dstnat; policy accept;
			fib daddr type local meta l4proto { tcp, udp } th dport 20000-30000 %s; }; }
		`, family.ip, verdict(family))
	}
	h.replaceRules(t, rules.String())
}

// TestPortHoppingToAContainer has a range of ports lead to a container's one, which the
// list has.
func TestPortHoppingToAContainer(t *testing.T) {
	require(t, "ss")
	t.Parallel()
	h := newHost(t)
	h.hideContainers(t)
	h.container.serve(t, containerPort)
	h.hop(t, func(f family) string {
		return "dnat to " + netip.AddrPortFrom(f.containerAddress(2), containerPort).String()
	})
	note := "port 8388: chain ip nat prerouting publishes it as ports 20000-30000"
	setup := begin(t, h.ssmonitor(nil, "setup", "--list", h.list, "--port", fmt.Sprint(containerPort)))
	setup.endsWith(t, 0, note, `add "8388@172.30.0.2:8388" to the ports in`, `add "8388@[fd30::2]:8388" to the ports in`)
	dry := begin(t, h.ssmonitor(nil, "setup", "--dry-run", "--list", h.list, "--port", fmt.Sprint(containerPort)))
	dry.endsWith(t, 0, note)

	h.setup(t, "--port", "8388@172.30.0.2:8388@[fd30::2]:8388")
	agent := h.startCounting(t, "--list", h.list)
	h.waitCounted(t, containerPort, containerPort)
	g := h.since(t, containerPort)
	for _, port := range []int{20000, 25000, 30000} {
		h.visitAll(t, port)
	}
	g.expectExact(t, 3*4*formSize)
	agent.stop(t)
}

// TestPortHopping has a range of ports lead to a port of the host. The default hook
// counts that by its number there, the one for containers does not, and says so.
func TestPortHopping(t *testing.T) {
	require(t, "ss")
	t.Parallel()
	h := newHost(t)
	h.serve(t, containerPort)
	h.hop(t, func(family) string { return fmt.Sprintf("redirect to :%d", containerPort) })
	setup := begin(t, h.ssmonitor(nil, "setup", "--list", h.list, "--port", fmt.Sprint(containerPort)))
	setup.endsWith(t, 0)
	if text := setup.stderr.String(); strings.Contains(text, "20000-30000") {
		t.Errorf("setup notes what is counted:\n%s", text)
	}
	h.expectChecked(t, "ok table inet ssmonitor counts 1 port at hook host")
	g := h.since(t, containerPort)
	for _, port := range []int{20000, 25000, containerPort} {
		h.visitAll(t, port)
	}
	g.expectExact(t, 3*4*formSize)

	other := begin(t, h.ssmonitor(nil, "setup", "--hook", "container", "--list", h.list, "--port", fmt.Sprint(containerPort)))
	other.endsWith(t, 0, "port 8388: chain ip nat prerouting publishes it as ports 20000-30000: what clients send there, to this host, is not counted", "hook: host")
}
