package accounting

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func target(protocol Protocol, address string, port uint16) Target {
	return Target{protocol, netip.MustParseAddrPort(address), port}
}

func TestTargetsOfPorts(t *testing.T) {
	ports := Ports{{Number: 1, Protocols: TCPAndUDP}, {Number: 2, Protocols: OnlyTCP}}
	got, err := ports.Targets(
		[]Target{
			target(TCP, "172.17.0.2:8389", 2), target(UDP, "172.17.0.2:8389", 2), // not counted for UDP
			target(UDP, "172.17.0.2:8388", 1),
			target(TCP, "[fd00::2]:8388", 1),
		},
		[]Target{
			target(TCP, "172.17.0.10:8388", 1), target(TCP, "172.17.0.2:8388", 1),
			target(TCP, "[fd00::2]:8388", 1),
			target(TCP, "172.17.0.9:8388", 3), // of a port that is not counted
		})
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, target := range got {
		text = append(text, target.String())
	}
	want := []string{"tcp 172.17.0.2:8388", "tcp 172.17.0.10:8388", "tcp [fd00::2]:8388", "udp 172.17.0.2:8388", "tcp 172.17.0.2:8389"}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}

func TestTwoPortsWithOneTarget(t *testing.T) {
	ports := Ports{{Number: 1, Protocols: TCPAndUDP}, {Number: 2, Protocols: TCPAndUDP}}
	if _, err := ports.Targets([]Target{target(TCP, "172.17.0.2:1", 1), target(UDP, "172.17.0.2:1", 2)}); err != nil {
		t.Errorf("one target for each protocol: %v", err)
	}
	_, err := ports.Targets([]Target{target(UDP, "172.17.0.2:1", 1)}, []Target{target(UDP, "172.17.0.2:1", 2)})
	const want = "ports 1 and 2 have the same target, udp 172.17.0.2:1, where their clients can't be told apart: name it for one of them"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
