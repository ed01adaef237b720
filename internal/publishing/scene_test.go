package publishing_test

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// TestObserveConnections has connections that the host itself begins: two to a port
// of its own, which is translated, one to a port of another host, which is as well,
// and one that is not translated.
func TestObserveConnections(t *testing.T) {
	testkit.Require(t, "ip")
	testkit.NetworkNamespace(t)
	const links = `ip link add name a type veth peer name b && ip link set dev a up && ip link set dev b up &&
		ip address add 192.0.2.1/32 dev a && ip address add 172.17.0.1/16 dev a && ip route add default dev a`
	if output, err := exec.Command("sh", "-c", links).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	testkit.NFT(t, `table ip nat { chain output {
		type nat hook output priority -100
		ip daddr 192.0.2.1 udp dport 20000 dnat to 172.17.0.2:8388
		ip daddr 203.0.113.9 udp dport 20001 dnat to 172.17.0.3:8388
	}; }`)
	for _, address := range []string{"192.0.2.1:20000", "192.0.2.1:20000", "203.0.113.9:20001", "172.17.0.4:8388"} {
		conn, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprint(conn, "x"); err != nil {
			t.Fatal(err)
		}
	}
	scene, err := publishing.Observe(nft.HookHost, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := to("udp 172.17.0.2:8388 20000"); !slices.Equal(scene.Redirected, want) {
		t.Errorf("got the targets of connections %v, want %v", scene.Redirected, want)
	}
	given := to("udp 172.17.0.2:8388 1", "tcp 172.17.0.2:8388 2", "udp 172.17.0.4:8388 3", "udp 172.17.0.3:8389 4")
	asked := slices.Clone(given)
	still, err := scene.Connected(asked)
	if want := to("udp 172.17.0.2:8388 1", "udp 172.17.0.4:8388 3"); err != nil || !slices.Equal(still, want) || !slices.Equal(asked, given) {
		t.Errorf("connections lead to %v, %v, want %v; asked for %v", still, err, want, asked)
	}
	if scene, err := publishing.Observe(nft.HookContainer, nil); err != nil || len(scene.Redirected) > 0 {
		t.Errorf("got %v, %v for the container hook, which needs no connections", scene.Redirected, err)
	}
}

func TestObserveListeners(t *testing.T) {
	testkit.NetworkNamespace(t)
	listener, err := net.Listen("tcp", "127.0.0.1:20000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.ListenPacket("udp", "127.0.0.1:20001")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	scene, err := publishing.Observe(nft.HookHost, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		protocol accounting.Protocol
		port     uint16
		want     bool
	}{
		{accounting.TCP, 20000, true}, {accounting.UDP, 20000, false}, {accounting.TCP, 20001, false}, {accounting.UDP, 20001, true},
	} {
		if got := scene.Listens(test.protocol, test.port); got != test.want {
			t.Errorf("%s port %d: got %t, want %t", test.protocol, test.port, got, test.want)
		}
	}
}
