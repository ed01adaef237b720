package paths

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
)

const (
	uplink      = "uplink"
	serverIPv4  = "10.1.0.1"
	serverIPv6  = "fd01::1"
	clientIPv4  = "10.1.0.2"
	clientIPv6  = "fd01::2"
	vrfIPv4     = "10.9.0.1" // of the VRF device
	vrfIPv6     = "fd09::1"
	containerV4 = "172.30.0.2"
	containerV6 = "fd30::2"

	countedPort   = 8388
	publishedPort = 20000 // of the server, translated to the container's countedPort
)

// lab is a server, on which ssmonitor counts, and a client, whose kernel counts
// what it sends and receives.
type lab struct {
	server, client namespace
	state          string
	agent          *http.Client // nil: not running
}

// truth counts what crosses the client's device.
const truth = `
	table inet truth {
		counter sent {}
		counter received {}
		chain output { type filter hook output priority 0; oifname "uplink" meta l4proto { tcp, udp } counter name sent; }
		chain input { type filter hook input priority 0; iifname "uplink" meta l4proto { tcp, udp } counter name received; }
	}`

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{server: newNamespace(t), client: newNamespace(t), state: t.TempDir()}
	join(t, l.server, l.client, uplink, "10.1.0.", "fd01::")
	l.client.nft(t, truth)
	return l
}

// addContainer adds a container behind the server, which forwards to it.
func (l *lab) addContainer(t *testing.T) (container namespace) {
	t.Helper()
	container = newNamespace(t)
	join(t, l.server, container, "bridge0", "172.30.0.", "fd30::")
	container.ip(t, "route add default via 172.30.0.1", "route add default via fd30::1")
	l.server.set(t, "ipv4/ip_forward", "1")
	l.server.set(t, "ipv6/conf/all/forwarding", "1")
	return container
}

// publish translates a port of the server's addresses to the container's, as an
// engine does for a port that is published at an address.
func (l *lab) publish(t *testing.T) {
	t.Helper()
	for _, family := range [][3]string{{"ip", serverIPv4, containerV4}, {"ip6", serverIPv6, "[" + containerV6 + "]"}} {
		l.server.nft(t, fmt.Sprintf(`table %[1]s nat { chain prerouting {
			type nat hook prerouting priority dstnat
			%[1]s daddr %[2]s tcp dport %[4]d dnat to %[3]s:%[5]d
			%[1]s daddr %[2]s udp dport %[4]d dnat to %[3]s:%[5]d
		}; }`, family[0], family[1], family[2], publishedPort, countedPort))
	}
}

// ssmonitor returns a command that runs ssmonitor on the server, with the state
// and the list of ports of the lab.
func (l *lab) ssmonitor(subcommand string, arguments ...string) *exec.Cmd {
	return l.server.command("ssmonitor", append([]string{subcommand, "--config", "none"}, arguments...)...)
}

func (l *lab) list() string { return filepath.Join(l.state, "ports") }

// startAgent starts the agent and waits until it counts. It ends with the test
// and must not have repaired anything.
func (l *lab) startAgent(t *testing.T, arguments ...string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "socket")
	agent := l.ssmonitor("run", append([]string{"--state", l.state, "--csv", "", "--socket", socket, "--interval", "100ms"}, arguments...)...)
	var log bytes.Buffer
	agent.Stderr = &log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := agent.Process.Signal(syscall.SIGTERM)
		if waitErr := agent.Wait(); err != nil || waitErr != nil || strings.Contains(log.String(), "repair") {
			t.Errorf("the agent: %v, %v\n%s", err, waitErr, &log)
		}
	})
	l.agent = &http.Client{Transport: serving.NewTransport(socket, nil)}
	testkit.Eventually(t, patience, func() error {
		_, err := l.report()
		return err
	})
}

// traffic is what the client has sent to the server, and the server to it.
type traffic struct{ in, out int }

func (a traffic) minus(b traffic) traffic { return traffic{a.in - b.in, a.out - b.out} }

// report returns what the agent has counted, of all ports.
func (l *lab) report() (sum traffic, err error) {
	response, err := l.agent.Get("http://ssmonitor/v1/ports")
	if err != nil {
		return traffic{}, err
	}
	defer func() { _ = response.Body.Close() }()
	type count struct{ In, Out struct{ Bytes int } }
	var report struct {
		Ports []struct{ TCP, UDP count }
	}
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return traffic{}, err
	}
	if len(report.Ports) == 0 {
		return traffic{}, fmt.Errorf("status %s: no port", response.Status)
	}
	for _, port := range report.Ports {
		sum.in += port.TCP.In.Bytes + port.UDP.In.Bytes
		sum.out += port.TCP.Out.Bytes + port.UDP.Out.Bytes
	}
	return sum, nil
}

func (l *lab) counted(t *testing.T) traffic {
	t.Helper()
	sum, err := l.report()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// carried is the truth.
func (l *lab) carried(t *testing.T) traffic {
	t.Helper()
	counters := l.client.counters(t, "truth")
	return traffic{counters["sent"], counters["received"]}
}

// exact does a transfer and waits until the agent has counted exactly what the
// client's kernel has counted meanwhile.
func (l *lab) exact(t *testing.T, x transfer) {
	t.Helper()
	l.counts(t, x, func(carried traffic) traffic { return carried })
}

// counts is exact for what is not counted in full: want has it from the truth.
func (l *lab) counts(t *testing.T, x transfer, want func(carried traffic) traffic) {
	t.Helper()
	counted, carried := l.counted(t), l.carried(t)
	x.from(t, l.client)
	testkit.Eventually(t, patience, func() error {
		have, meanwhile := l.counted(t).minus(counted), l.carried(t).minus(carried)
		if have != want(meanwhile) {
			return fmt.Errorf("%s: counted %+v, want %+v of %+v", x, have, want(meanwhile), meanwhile)
		}
		return nil
	})
}

// each calls f in a subtest for each protocol to a port of the addresses.
func each(t *testing.T, port int, f func(t *testing.T, x transfer), addresses ...string) {
	for _, address := range addresses {
		for _, protocol := range []string{"tcp", "udp"} {
			x := transfer{protocol, address, port, datagramSize}
			t.Run(x.String(), func(t *testing.T) { f(t, x) })
		}
	}
}

// some is each protocol and each family once, for tests that repeat them.
var some = []transfer{
	{"tcp", serverIPv4, countedPort, 0},
	{"udp", serverIPv6, countedPort, datagramSize},
}
