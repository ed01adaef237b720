package endtoend_test

import (
	"fmt"
	"testing"
)

// TestPublishedPortOfAContainer counts a port that the server translates to a
// container's, as container engines do.
func TestPublishedPortOfAContainer(t *testing.T) {
	require(t, "curl", "ss")
	t.Parallel()
	const containerIPv4, insidePort = "172.30.0.2", 8388
	server, client := newServerAndClient(t)
	container := newNamespace(t)
	join(t, server.namespace, container, "bridge0", []string{"172.30.0.1/24"}, []string{containerIPv4 + "/24"})
	ip(t, "-netns", string(container), "route", "add", "default", "via", "172.30.0.1")
	server.run(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	server.nft(t, fmt.Sprintf(`
		table ip engine {
			chain prerouting {
				type nat hook prerouting priority dstnat; policy accept;
				fib daddr type local meta l4proto { tcp, udp } th dport %d dnat to %s:%d
			}
			chain postrouting {
				type nat hook postrouting priority srcnat; policy accept;
				ip saddr 172.30.0.0/24 oifname != "bridge0" masquerade
			}
		}`, countedPort, containerIPv4, insidePort))
	server.setup(t, "--hook", "container", "--port", fmt.Sprint(countedPort))

	container.serve(t, insidePort)
	published := fmt.Sprintf("%s:%d", serverIPv4, countedPort)
	client.curl(t, fmt.Sprintf("http://%s/%d", published, megabyte))
	client.curl(t, "--upload-file", fileOf(t, megabyte), "http://"+published+"/")
	client.exchange(t, published, 100, 1000)
	var clients traffic
	eventually(t, func() error {
		clients = server.counted(t, countedPort)
		if carried := server.statistics(t, link); clients != carried {
			return fmt.Errorf("counted %+v, the interface carried %+v", clients, carried)
		}
		return nil
	})
	if clients.in.Bytes < megabyte || clients.out.Bytes < megabyte {
		t.Errorf("counted %+v, which is below the payload", clients)
	}

	// Traffic of the container with the same port of another host is not the
	// clients' traffic.
	client.serve(t, countedPort)
	elsewhere := fmt.Sprintf("%s:%d", clientIPv4, countedPort)
	container.curl(t, fmt.Sprintf("http://%s/%d", elsewhere, megabyte))
	container.exchange(t, elsewhere, 10, 1000)
	if counted := server.counted(t, countedPort); counted != clients {
		t.Errorf("counted %+v, of which only %+v are the clients'", counted, clients)
	}
}
