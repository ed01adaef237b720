package endtoend_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// podman runs a container with the files of this host until the shell is killed.
// Everything that podman writes is in a file system of its own.
const podman = `
	umount -R /sys/fs/cgroup 2>/dev/null # unless ip netns exec has
	mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit
	mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs "$0" && mkdir "$0/root" && printf %s "$1" >"$0/config.json" || exit
	shift
	alias podman='podman --root "$directory/root" --runroot "$directory/run" --tmpdir "$directory/tmp" --storage-driver vfs \
		--cgroup-manager cgroupfs --network-config-dir "$directory/networks" --network-backend netavark --events-backend none'
	directory=$0
	podman network create --disable-dns --ipv6 --subnet 10.99.0.0/24 --subnet fd99::/64 clients
	podman run --rm --network clients --cgroups disabled --log-driver none --security-opt seccomp=unconfined \
		--security-opt apparmor=unconfined --volume "$directory/config.json:/config.json" "$@" --rootfs /:O ss-server -c /config.json`

// TestPublishedPortsOfPodman has a real engine run a real Shadowsocks and publish
// its port.
func TestPublishedPortsOfPodman(t *testing.T) {
	require(t, "podman", "crun", "ss-server", "ss-local", "ss-tunnel", "curl", "ss", "unshare")
	t.Parallel()
	h := newHost(t)
	setup := start(t, h.ssmonitor(nil, "setup", "--follow", "--list", h.list, "--port", fmt.Sprint(publishedPort)))
	h.waitListing(t, publishedPort)
	h.startCounting(t, "--list", h.list)

	directory, err := os.MkdirTemp("", "podman") // t.TempDir's paths are too long for podman
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(directory) })
	arguments := []string{"--mount", "--propagation", "private", "sh", "-c", podman, directory,
		fmt.Sprintf(`{"server": ["::", "0.0.0.0"], "server_port": %d, "password": %q, "method": %q, "mode": "tcp_and_udp"}`, containerPort, password, cipher)}
	for _, protocol := range []string{"tcp", "udp"} {
		arguments = append(arguments, "--publish", fmt.Sprintf("%d:%d/%s", publishedPort, containerPort, protocol))
	}
	engine := h.start(t, "unshare", arguments...)
	eventually(t, func() error {
		select {
		case <-engine.done:
			t.Skipf("podman does not run here: %s\n%s", &engine.stdout, &engine.stderr)
		default:
		}
		if listing := h.run(t, "nft", "list", "table", "inet", "ssmonitor"); !strings.Contains(listing, "hook forward") {
			return fmt.Errorf("published ports are not counted:\n%s\nsetup wrote:\n%s", listing, &setup.stderr)
		}
		if !strings.Contains(engine.stdout.String()+engine.stderr.String(), "udp server listening at 0.0.0.0") {
			return fmt.Errorf("ss-server does not listen: %s\n%s", &engine.stdout, &engine.stderr)
		}
		return nil
	})
	h.serve(t, targetPort)
	for i, address := range []string{serverIPv4, serverIPv6} {
		client := startShadowsocksClient(t, h.client, address, publishedPort, 1080+2*i, password)
		before := h.carries(t, publishedPort)
		client.download(t, 5*megabyte)
		client.upload(t, 5*megabyte)
		client.echo(t, 50, 1000)
		after := h.carries(t, publishedPort)
		if in, out := after.in.Bytes-before.in.Bytes, after.out.Bytes-before.out.Bytes; in < 5*megabyte || out < 5*megabyte {
			t.Errorf("%s: counted %d bytes in and %d out, which is below the payload", address, in, out)
		}
	}
}
