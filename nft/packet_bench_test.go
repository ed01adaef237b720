package nft

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

const (
	burstsPerRound = 300
	burstLength    = 16 // packets
)

// BenchmarkPacket measures what our rules add to the cost of a packet over
// loopback, which passes both hooks and is counted at both, and compares that
// with other rules.
func BenchmarkPacket(b *testing.B) {
	for _, against := range []struct {
		name  string
		ports []int
		rules func(b *testing.B, ports accounting.Ports)
	}{
		{"one plain counter", []int{3, 1000, 10_000}, plainCounters},
		{"iptables-legacy", []int{3, 12, 100}, legacyRules},
	} {
		for _, ports := range against.ports {
			b.Run(compared(against.name, ports), func(b *testing.B) {
				list := portList(ports)
				none := newTrafficPath(b)
				ours := newTrafficPath(b)
				table := open(b, Options{})
				install(b, table, list)
				other := newTrafficPath(b)
				against.rules(b, list)
				pin(b)
				comparePackets(b, none, ours, other)
				ours.checkCounted(b, table)
			})
		}
	}
}

func comparePackets(b *testing.B, none, ours, other *trafficPath) {
	b.Helper()
	none.round(b)
	ours.round(b)
	other.round(b)
	var c comparison
	for b.Loop() {
		base := none.round(b)
		c.add(ours.round(b)-base, other.round(b)-base)
	}
	c.report(b)
	// On a noisy machine the differences are mostly noise, and the ratio of the
	// medians means more than the median of the ratios.
	b.ReportMetric(median(c.ours)/median(c.others), "ratio")
}

// plainCounters creates one rule per hook that counts everything.
func plainCounters(b *testing.B, _ accounting.Ports) {
	b.Helper()
	nftCommand(b, `table inet plain {
		chain input { type filter hook input priority filter + 40; counter; }
		chain output { type filter hook output priority filter + 40; counter; }
	}`)
}

// legacyRules creates one rule per port, protocol and direction, as is common
// with iptables. iptables-legacy-restore loads all of them at once.
func legacyRules(b *testing.B, ports accounting.Ports) {
	b.Helper()
	testkit.Require(b, "iptables-legacy-restore")
	var rules strings.Builder
	fmt.Fprint(&rules, "*filter\n")
	for _, key := range ports.Keys() {
		if key.Direction == accounting.In {
			fmt.Fprintf(&rules, "-A INPUT -p %s --dport %d\n", key.Protocol, key.Port)
		} else {
			fmt.Fprintf(&rules, "-A OUTPUT -p %s --sport %d\n", key.Protocol, key.Port)
		}
	}
	fmt.Fprint(&rules, "COMMIT\n")
	command := exec.Command("iptables-legacy-restore")
	command.Stdin = strings.NewReader(rules.String())
	if output, err := command.CombinedOutput(); err != nil {
		testkit.Missing(b, "iptables-legacy-restore: %v\n%s", err, output)
	}
}

// trafficPath is a network namespace with two connected UDP sockets on loopback,
// on two of the counted ports.
type trafficPath struct {
	sender, receiver int
	packets          int // sent so far
}

// newTrafficPath moves the test into a new namespace. Its sockets keep working
// after the test has moved on to the next one.
func newTrafficPath(b *testing.B) *trafficPath {
	b.Helper()
	inNamespace(b)
	ports := portList(2)
	from := &unix.SockaddrInet4{Port: int(ports[0].Number), Addr: [4]byte{127, 0, 0, 1}}
	to := &unix.SockaddrInet4{Port: int(ports[1].Number), Addr: [4]byte{127, 0, 0, 1}}
	path := &trafficPath{sender: boundSocket(b, from), receiver: boundSocket(b, to)}
	if err := unix.Connect(path.sender, to); err != nil {
		b.Fatal(err)
	}
	return path
}

func boundSocket(b *testing.B, address unix.Sockaddr) int {
	b.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, address); err != nil {
		b.Fatal(err)
	}
	return fd
}

// round returns the 10th percentile of many bursts, in nanoseconds per packet.
func (p *trafficPath) round(b *testing.B) float64 {
	b.Helper()
	bursts := make([]float64, burstsPerRound)
	for i := range bursts {
		bursts[i] = float64(p.burst(b)) / burstLength
	}
	return percentile(bursts, 10)
}

// burst measures the sending only: loopback delivers within the sender's call.
func (p *trafficPath) burst(b *testing.B) time.Duration {
	b.Helper()
	var payload [64]byte
	duration := elapsed(func() {
		for range burstLength {
			if _, err := unix.Write(p.sender, payload[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	for range burstLength {
		if _, err := unix.Read(p.receiver, payload[:]); err != nil {
			b.Fatalf("a packet did not arrive: %v", err)
		}
	}
	p.packets += burstLength
	return duration
}

// checkCounted checks that the packets of the measurement were counted.
func (p *trafficPath) checkCounted(b *testing.B, table *Table) {
	b.Helper()
	ports, readings := portList(2), read(b, table)
	for _, key := range []accounting.Key{
		{Port: ports[0].Number, Protocol: accounting.UDP, Direction: accounting.Out},
		{Port: ports[1].Number, Protocol: accounting.UDP, Direction: accounting.In},
	} {
		if got := readings[key].Count.Packets; got != uint64(p.packets) {
			b.Errorf("%s counted %d of %d packets", key, got, p.packets)
		}
	}
}
