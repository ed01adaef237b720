package paths

import (
	"fmt"
	"testing"
)

var hooks = []string{"host", "container"}

// addVRF adds a VRF to the server, with addresses of its device, and lets sockets
// outside of it accept what arrives there.
func (l *lab) addVRF(t *testing.T) {
	t.Helper()
	l.server.ip(t, "link add vrf1 type vrf table 10", "link set vrf1 up",
		"address add "+vrfIPv4+"/32 dev vrf1", "address add "+vrfIPv6+"/128 dev vrf1 nodad")
	l.client.ip(t, "route add "+vrfIPv4+" via "+serverIPv4, "route add "+vrfIPv6+" via "+serverIPv6)
	l.server.set(t, "ipv4/tcp_l3mdev_accept", "1")
	l.server.set(t, "ipv4/udp_l3mdev_accept", "1")
}

// moveUplink moves the uplink into the VRF or out of it, where it loses its IPv6
// address.
func (l *lab) moveUplink(t *testing.T, to string) {
	t.Helper()
	l.server.ip(t, "link set uplink "+to, "address replace "+serverIPv6+"/64 dev uplink nodad")
}

const (
	intoVRF  = "master vrf1"
	outOfVRF = "nomaster"
)

// TestVRFIsCountedOnce has the server's uplink in a VRF: the kernel runs the hooks
// for the uplink and for the VRF device.
func TestVRFIsCountedOnce(t *testing.T) {
	for _, hook := range hooks {
		t.Run(hook, func(t *testing.T) {
			l := newLab(t)
			l.addVRF(t)
			l.moveUplink(t, intoVRF)
			l.server.echo(t, "")
			l.startAgent(t, "--hook", hook, "--port", fmt.Sprint(countedPort))
			each(t, countedPort, l.exact, serverIPv4, serverIPv6, vrfIPv4, vrfIPv6)
		})
	}
}

// TestServerOfAVRF has a server whose sockets are bound to the VRF.
func TestServerOfAVRF(t *testing.T) {
	for _, hook := range hooks {
		t.Run(hook, func(t *testing.T) {
			l := newLab(t)
			l.addVRF(t)
			l.server.set(t, "ipv4/tcp_l3mdev_accept", "0")
			l.server.set(t, "ipv4/udp_l3mdev_accept", "0")
			l.moveUplink(t, intoVRF)
			l.server.echo(t, "vrf1")
			l.startAgent(t, "--hook", hook, "--port", fmt.Sprint(countedPort))
			for _, x := range some {
				l.exact(t, x)
			}
		})
	}
}

// TestUplinkMovesIntoAVRF moves the uplink while the agent runs.
func TestUplinkMovesIntoAVRF(t *testing.T) {
	for _, hook := range hooks {
		t.Run(hook, func(t *testing.T) {
			l := newLab(t)
			l.addVRF(t)
			l.server.echo(t, "")
			l.startAgent(t, "--hook", hook, "--port", fmt.Sprint(countedPort))
			for _, to := range []string{outOfVRF, intoVRF, outOfVRF} {
				l.moveUplink(t, to)
				t.Run(to, func(t *testing.T) {
					for _, x := range some {
						l.exact(t, x)
					}
				})
			}
		})
	}
}

// TestPublishedPortInAVRF has a container whose host has its uplink in a VRF, and
// its bridge there as well, or outside with routes between them.
func TestPublishedPortInAVRF(t *testing.T) {
	bridges := []struct {
		name   string
		config []string
	}{
		{"bridge inside", []string{"link set bridge0 master vrf1", "address replace fd30::1/64 dev bridge0 nodad"}},
		{"bridge outside", []string{"route add 172.30.0.0/24 dev bridge0 table 10", "route add fd30::/64 dev bridge0 table 10",
			"route add 10.1.0.0/24 dev uplink", "route add fd01::/64 dev uplink"}},
	}
	for _, hook := range hooks {
		for _, bridge := range bridges {
			t.Run(hook+", "+bridge.name, func(t *testing.T) {
				l := newLab(t)
				l.addVRF(t)
				l.addContainer(t).echo(t, "")
				l.moveUplink(t, intoVRF)
				l.server.ip(t, bridge.config...)
				l.publish(t)
				run(t, l.ssmonitor("setup", "--no-search", "--hook", hook, "--list", l.list(), "--port", fmt.Sprint(publishedPort)))
				l.startAgent(t, "--hook", hook, "--list", l.list())
				each(t, publishedPort, l.exact, serverIPv4, serverIPv6)
			})
		}
	}
}
