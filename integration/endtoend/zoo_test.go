package endtoend_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

const zoo = "../shadowsocks/testdata/zoo"

// TestServersListenWhereSetupSays starts the real servers with files of the zoo.
// They listen exactly on the ports that setup names, and on no protocol that it
// leaves out.
func TestServersListenWhereSetupSays(t *testing.T) {
	require(t, "ss-server", "ss-manager", "v2ray", "ss")
	t.Parallel()
	families := []struct {
		name  string
		start func(t *testing.T, n namespace, file string)
		files []string
	}{
		{"libev", startServer, []string{
			"debian-default.json", "minimal.json", "port-as-text.json", "port-as-text-with-zeros.json", "tcp-only.json", "udp-only.json",
			"tcp-and-udp.json", "one-address.json", "address-with-port.json", "one-address-with-port.json", "own-address.json",
			"loopback-without-local-port.json", "trailing-commas.json", "duplicate-key.json", "bom.json", "crlf.json",
			"key-instead-of-password.json", "remarks.json", "key-case.json", "key-long-s.json", "key-kelvin.json", "managed.conf",
		}},
		{"ss-manager", func(t *testing.T, n namespace, file string) { startManager(t, n, file) }, []string{
			"three-ports.json", "tcp-only.json", "number-as-password.json", "remarks.json",
		}},
		{"ss-manager", startBoth, []string{"with-server-port.json"}},
		{"xray", startV2Ray, []string{
			"clients.json", "comments.json", "email.json", "network-list.json", "network-text.json", "network-udp.json",
			"port-range.json", "port-text.json", "unix-socket.json", "upper-case.json",
			"transport-kcp.json", "transport-quic.json", "transport-ws.json", "transport-ws-both.json", "transport-ws-udp.json",
			"transport-kcp-udp.json", "transport-ds-both.json", "transport-upper-case.json", "transport-tcp-http.json", "routed.json",
			"protocols-v2ray-4.any-protocol.json",
		}},
	}
	for _, family := range families {
		for _, name := range family.files {
			t.Run(family.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				// Resolving an IPv6 address takes an interface with one.
				n, _ := newServerAndClient(t)
				ip(t, "-netns", string(n.namespace), "address", "add", "192.0.2.10/32", "dev", "lo")
				file := filepath.Join(sharedDirectory(t), name)
				content := testkit.ReadFile(t, filepath.Join(zoo, family.name, name))
				testkit.ReplaceFile(t, file, content)
				want := namedPorts(t, n, file)
				family.start(t, n.namespace, file)
				n.waitListeningExactly(t, want)
			})
		}
	}
}

func startServer(t *testing.T, n namespace, file string) {
	n.start(t, "ss-server", "-c", file)
}

// startManager starts ss-manager, which keeps its files beside its configuration.
func startManager(t *testing.T, n namespace, file string) *program {
	return n.start(t, "ss-manager", "-c", file, "--manager-address", managerAddress(file),
		"--executable", "/usr/bin/ss-server", "-D", filepath.Join(filepath.Dir(file), "manager"))
}

// managerAddress returns where the ss-manager of a configuration takes commands.
func managerAddress(file string) string { return filepath.Join(filepath.Dir(file), "manager.sock") }

func startV2Ray(t *testing.T, n namespace, file string) {
	n.start(t, "v2ray", "-config", file)
}

// startBoth starts both of the programs that read server_port and port_password.
func startBoth(t *testing.T, n namespace, file string) {
	startServer(t, n, file)
	startManager(t, n, file)
}

// namedPorts returns the ports that setup names, each with its protocols.
func namedPorts(t *testing.T, ssmonitor product, file string) map[int][]string {
	t.Helper()
	var report struct {
		Ports []struct {
			Port      int
			Protocols []string
		}
	}
	arguments := []string{"setup", "--dry-run", "--json", "--list", ssmonitor.list, "--shadowsocks", file}
	if strings.Contains(file, ".any-protocol.") {
		arguments = append(arguments, "--any-protocol")
	}
	output := ssmonitor.succeed(t, arguments...)
	if err := json.Unmarshal([]byte(output), &report); err != nil {
		t.Fatalf("%v in\n%s", err, output)
	}
	ports := make(map[int][]string)
	for _, port := range report.Ports {
		ports[port.Port] = port.Protocols
	}
	return ports
}

// waitListeningExactly waits until programs listen on each of the ports, for one
// of its protocols at least, and on no other.
func (n namespace) waitListeningExactly(t *testing.T, want map[int][]string) {
	t.Helper()
	eventually(t, func() error {
		listening := n.listening(t)
		for port, protocols := range want {
			if len(listening[port]) == 0 {
				return fmt.Errorf("nobody listens on port %d, only on %v", port, listening)
			}
			for _, protocol := range listening[port] {
				if !slices.Contains(protocols, protocol) {
					return fmt.Errorf("setup leaves out %s on port %d, counted are %v", protocol, port, protocols)
				}
			}
		}
		for port := range listening {
			if _, named := want[port]; !named {
				return fmt.Errorf("setup does not name port %d, only %v", port, want)
			}
		}
		return nil
	})
}

// listening returns the protocols of each port on which a server listens. Those
// above the range for servers belong to outgoing datagrams.
func (n namespace) listening(t *testing.T) map[int][]string {
	t.Helper()
	const firstEphemeral = 32768
	ports := make(map[int][]string)
	for line := range strings.Lines(n.run(t, "ss", "-Hlntu")) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		var port int
		if _, err := fmt.Sscan(fields[4][strings.LastIndexByte(fields[4], ':')+1:], &port); err != nil {
			t.Fatalf("ss printed %q: %v", line, err)
		}
		if protocol := fields[0]; port < firstEphemeral && !slices.Contains(ports[port], protocol) {
			ports[port] = append(ports[port], protocol)
		}
	}
	return ports
}
