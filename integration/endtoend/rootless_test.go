package endtoend_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// rootless runs a command as a user other than root who owns a range of user IDs.
// rootfs holds what a container needs to run the test binary. Everything that
// the command writes is in a file system of its own.
const rootless = `
	umount -R /sys/fs/cgroup 2>/dev/null # unless ip netns exec has
	mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs "$0" &&
	mount -t tmpfs tmpfs /dev/net && mknod --mode 666 /dev/net/tun c 10 200 && cd "$0" || exit
	echo nobody:100000:65536 >ids && mount --bind ids /etc/subuid && mount --bind ids /etc/subgid || exit
	mkdir -p run rootfs/usr && ln -s usr/bin usr/lib usr/lib64 rootfs && chown -R -h nobody . || exit
	touch rootfs/server && mount --bind "$1" rootfs/server || exit
	shift
	setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$PWD" XDG_RUNTIME_DIR="$PWD/run" "$@"
	exit`

// rootlessPodman runs the test binary in a container. The network and the port
// follow.
const rootlessPodman = `exec podman --root root --runroot storage --tmpdir tmp --storage-driver vfs \
	--cgroup-manager cgroupfs --events-backend none run --rm --network "$0" --publish "$1:$1/tcp" --publish "$1:$1/udp" \
	--cgroups disabled --log-driver none --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
	--volume /usr:/usr:ro --env ` + roleToPlay + ` --rootfs "$PWD/rootfs" /server "$1"`

// TestPortsOfRootlessContainersAreHostPorts has the programs that pass a port of
// the host on to a network namespace of a user other than root: rootlesskit's,
// slirp4netns and pasta.
func TestPortsOfRootlessContainersAreHostPorts(t *testing.T) {
	require(t, "podman", "crun", "newuidmap", "slirp4netns", "pasta", "curl", "ss", "unshare", "setpriv")
	t.Parallel()
	h := newHost(t)
	// pasta serves the families that have a default route, IPv6 with a link-local address.
	ip(t, "-netns", string(h.namespace), "address", "add", "fe80::1/64", "dev", link, "nodad")
	ip(t, "-netns", string(h.namespace), "route", "add", "default", "via", clientIPv4)
	ip(t, "-netns", string(h.namespace), "-6", "route", "add", "default", "via", clientIPv6)
	proxies := []struct {
		name      string
		sockets   int // one may serve both families
		addresses []string
		command   []string
	}{
		{"rootlessport", 2, []string{serverIPv4, serverIPv6}, []string{"sh", "-c", rootlessPodman, "slirp4netns"}},
		{"slirp4netns", 2, []string{serverIPv4}, []string{"sh", "-c", rootlessPodman, "slirp4netns:port_handler=slirp4netns"}},
		{"pasta", 3, []string{serverIPv4, serverIPv6}, []string{"sh", "-c", `exec pasta --foreground --config-net --no-map-gw -t "$1" -u "$1" -- rootfs/server "$1"`, "pasta"}},
	}
	const firstPort = 20010
	var ports []int
	var running []*program
	for i, proxy := range proxies {
		port := firstPort + i
		ports = append(ports, port)
		directory, err := os.MkdirTemp("", "rootless") // t.TempDir's paths are too long for podman
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(directory) })
		command := h.roleCommand(roleServe)
		command.Args = append(h.command("unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child",
			"sh", "-c", rootless, directory, testBinary()).Args, append(proxy.command, fmt.Sprint(port))...)
		running = append(running, start(t, command))
	}
	for i, proxy := range proxies {
		h.waitSockets(t, ports[i], proxy.sockets, running[i])
	}
	if forwarded := h.setUp(t, ports...); len(forwarded) > 0 {
		t.Errorf("counted where they are forwarded: %v, want none", forwarded)
	}
	if listing := h.run(t, "nft", "list", "table", "inet", "ssmonitor"); strings.Contains(listing, "hook forward") {
		t.Errorf("forwarded packets are counted:\n%s", listing)
	}
	for i, proxy := range proxies {
		t.Run(proxy.name, func(t *testing.T) {
			for _, address := range proxy.addresses {
				h.transmit(t, address, ports[i], ports...)
			}
		})
	}
}
