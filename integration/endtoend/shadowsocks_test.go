package endtoend_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

const (
	cipher   = "chacha20-ietf-poly1305"
	password = "a-password-of-the-tests"

	shadowsocksPort = 8388
	targetPort      = 8000 // of the web server and echo behind Shadowsocks
	megabyte        = 1_000_000
)

// shadowsocksClient is what a client runs: a SOCKS proxy for TCP and a tunnel
// for UDP, each on a local port.
type shadowsocksClient struct {
	namespace
	socks, tunnel int
}

// startShadowsocksClient starts ss-local and ss-tunnel towards a port of the
// server; firstPort and the next one must be free in the client's namespace.
func startShadowsocksClient(t *testing.T, client namespace, server string, serverPort, firstPort int, password string) shadowsocksClient {
	t.Helper()
	c := shadowsocksClient{client, firstPort, firstPort + 1}
	common := []string{"-u", "-s", server, "-p", fmt.Sprint(serverPort), "-k", password, "-m", cipher, "-b", "127.0.0.1"}
	client.start(t, "ss-local", append(common, "-l", fmt.Sprint(c.socks))...)
	client.start(t, "ss-tunnel", append(common, "-l", fmt.Sprint(c.tunnel), "-L", fmt.Sprintf("%s:%d", serverIPv4, targetPort))...)
	client.waitListening(t, c.socks, "tcp")
	client.waitListening(t, c.tunnel, "udp")
	return c
}

// download fetches size bytes from the target through Shadowsocks.
func (c shadowsocksClient) download(t *testing.T, size int) {
	t.Helper()
	c.curl(t, "--socks5-hostname", fmt.Sprintf("127.0.0.1:%d", c.socks), fmt.Sprintf("http://%s:%d/%d", serverIPv4, targetPort, size))
}

// upload sends size bytes to the target through Shadowsocks.
func (c shadowsocksClient) upload(t *testing.T, size int) {
	t.Helper()
	c.curl(t, "--upload-file", fileOf(t, size), "--socks5-hostname", fmt.Sprintf("127.0.0.1:%d", c.socks),
		fmt.Sprintf("http://%s:%d/", serverIPv4, targetPort))
}

// echo sends datagrams to the target through Shadowsocks and waits for each
// to come back.
func (c shadowsocksClient) echo(t *testing.T, count, size int) {
	t.Helper()
	c.exchange(t, fmt.Sprintf("127.0.0.1:%d", c.tunnel), count, size)
}

// startShadowsocks starts ss-server at a port and returns its configuration.
func (n namespace) startShadowsocks(t *testing.T, port int) (configuration string) {
	t.Helper()
	configuration = filepath.Join(t.TempDir(), "config.json")
	testkit.ReplaceFile(t, configuration, fmt.Sprintf(`{"server": ["::", "0.0.0.0"], "server_port": %d, "password": %q,
		"method": %q, "mode": "tcp_and_udp", "timeout": 600}`, port, password, cipher))
	n.start(t, "ss-server", "-c", configuration)
	n.waitListening(t, port, "tcp", "udp")
	return configuration
}

// curl runs curl. The test fails if the response is not a success.
func (n namespace) curl(t *testing.T, arguments ...string) {
	t.Helper()
	n.run(t, "curl", append([]string{"--silent", "--show-error", "--fail", "--globoff", "--noproxy", "", "--output", "/dev/null"}, arguments...)...)
}

func fileOf(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCountersEqualTheInterfaceUnderShadowsocks sends every kind of traffic
// through a real Shadowsocks. The interface carries nothing else, so its
// statistics must equal the counters.
func TestCountersEqualTheInterfaceUnderShadowsocks(t *testing.T) {
	require(t, "ss-server", "ss-local", "ss-tunnel", "curl", "ss")
	t.Parallel()
	server, client := newServerAndClient(t)
	server.setup(t, "--shadowsocks", server.startShadowsocks(t, shadowsocksPort))
	server.serve(t, targetPort)
	overIPv4 := startShadowsocksClient(t, client, serverIPv4, shadowsocksPort, 1080, password)
	overIPv6 := startShadowsocksClient(t, client, serverIPv6, shadowsocksPort, 1090, password)

	tests := []struct {
		name     string
		transmit func(t *testing.T)
		// The count must be at least the payload.
		payloadIn, payloadOut uint64
	}{
		{"TCP down over IPv4", func(t *testing.T) { overIPv4.download(t, 10*megabyte) }, 0, 10 * megabyte},
		{"TCP up over IPv4", func(t *testing.T) { overIPv4.upload(t, 10*megabyte) }, 10 * megabyte, 0},
		{"TCP down over IPv6", func(t *testing.T) { overIPv6.download(t, 10*megabyte) }, 0, 10 * megabyte},
		{"TCP up over IPv6", func(t *testing.T) { overIPv6.upload(t, 10*megabyte) }, 10 * megabyte, 0},
		{"UDP over IPv4", func(t *testing.T) { overIPv4.echo(t, 200, 1000) }, 200_000, 200_000},
		{"UDP over IPv6", func(t *testing.T) { overIPv6.echo(t, 200, 1000) }, 200_000, 200_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := server.counted(t, shadowsocksPort)
			test.transmit(t)
			// The last acknowledgement may still be in transit.
			eventually(t, func() error {
				counted, carried := server.counted(t, shadowsocksPort), server.statistics(t, link)
				if counted != carried {
					return fmt.Errorf("counted %+v, the interface carried %+v", counted, carried)
				}
				in, out := counted.in.Bytes-before.in.Bytes, counted.out.Bytes-before.out.Bytes
				if in <= test.payloadIn || out <= test.payloadOut {
					return fmt.Errorf("counted %d bytes in and %d out, below the payload", in, out)
				}
				return nil
			})
		})
	}
	server.succeed(t, "teardown")
	server.expectNoRuleset(t, "after teardown")
}

// TestManagerReportsNoMoreThanIsCounted compares the counters with the
// payload that ss-manager reports, which is most of what passed the port.
func TestManagerReportsNoMoreThanIsCounted(t *testing.T) {
	require(t, "ss-manager", "ss-local", "ss-tunnel", "curl", "ss")
	t.Parallel()
	server, client := newServerAndClient(t)
	testkit.ReplaceFile(t, server.configuration(), fmt.Sprintf(`{"server": ["::", "0.0.0.0"],
		"port_password": {"8391": "first-password", "8392": "second-password", "8393": "third-password"},
		"method": %q, "mode": "tcp_and_udp", "timeout": 60}`, cipher))
	server.setup(t, "--shadowsocks", server.configuration())

	manager := startManager(t, server.namespace, server.configuration())
	for _, port := range []int{8391, 8392, 8393} {
		server.waitListening(t, port, "tcp", "udp")
	}
	server.serve(t, targetPort)
	const untouched = 8393
	payload := map[int]uint64{8391: 5*megabyte + 2*50*1000, 8392: 2 * megabyte, untouched: 0}
	first := startShadowsocksClient(t, client, serverIPv4, 8391, 1080, "first-password")
	first.download(t, 5*megabyte)
	first.echo(t, 50, 1000)
	startShadowsocksClient(t, client, serverIPv6, 8392, 1090, "second-password").upload(t, 2*megabyte)

	stat := askManager(t, managerAddress(server.configuration()))
	eventually(t, func() error { // it hears from its servers every ten seconds
		reported := stat()
		for port, bytes := range payload {
			counted := server.counted(t, port)
			sum := counted.in.Bytes + counted.out.Bytes
			switch {
			case reported[fmt.Sprint(port)] < bytes:
				return fmt.Errorf("the manager has heard of %d bytes on port %d, %d were sent", reported[fmt.Sprint(port)], port, bytes)
			case reported[fmt.Sprint(port)] > sum:
				t.Errorf("port %d: the manager reports %d bytes, counted are %d", port, reported[fmt.Sprint(port)], sum)
			case port != untouched && sum > bytes+bytes/10:
				t.Errorf("port %d: counted are %d bytes for a payload of %d", port, sum, bytes)
			case port == untouched && sum != 0:
				t.Errorf("port %d: counted are %d bytes without any traffic", port, sum)
			}
		}
		return nil
	})
	manager.signal(syscall.SIGTERM)
	manager.wait(t)
}

// askManager returns a function that asks ss-manager for the payload of each
// port, in bytes of both directions.
func askManager(t *testing.T, address string) func() map[string]uint64 {
	t.Helper()
	tell := commandManager(t, address)
	return func() map[string]uint64 {
		stat := make(map[string]uint64)
		answer := tell("ping")
		if err := json.Unmarshal([]byte(strings.TrimPrefix(answer, "stat: ")), &stat); err != nil {
			t.Fatalf("ss-manager answered %q: %v", answer, err)
		}
		return stat
	}
}

// commandManager returns a function that sends ss-manager a command and returns
// its answer.
func commandManager(t *testing.T, address string) func(command string) string {
	t.Helper()
	var socket *net.UnixConn
	eventually(t, func() (err error) { // until the manager listens
		socket, err = net.DialUnix("unixgram",
			&net.UnixAddr{Name: filepath.Join(t.TempDir(), "ask.sock"), Net: "unixgram"},
			&net.UnixAddr{Name: address, Net: "unixgram"})
		return err
	})
	t.Cleanup(func() { _ = socket.Close() })
	return func(command string) string {
		if _, err := socket.Write([]byte(command)); err != nil {
			t.Fatalf("asking ss-manager: %v", err)
		}
		if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4096)
		n, err := socket.Read(answer)
		if err != nil {
			t.Fatalf("waiting for ss-manager: %v", err)
		}
		return strings.TrimRight(string(answer[:n]), "\x00\n")
	}
}
