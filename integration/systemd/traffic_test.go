package systemd_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
)

// password is the secret of all Shadowsocks configurations of the tests. It
// must not appear anywhere else.
const password = "correct-horse-battery-staple"

// serverConfiguration is what an operator gives shadowsocks-libev.
func serverConfiguration(port int) string {
	return fmt.Sprintf(`{"server":"0.0.0.0","server_port":%d,"password":"%s","method":"chacha20-ietf-poly1305","mode":"tcp_and_udp","timeout":60}`+"\n", port, password)
}

// The places of shadowsocks-libev's configurations: the service's own, and one
// for the unit shadowsocks-libev-server@second.
const (
	configurationFile       = "/etc/shadowsocks-libev/config.json"
	secondConfigurationFile = "/etc/shadowsocks-libev/second.json"
)

// traffic is both directions, seen from the server.
type traffic struct {
	In, Out accounting.Count
}

// minus returns the growth since an earlier moment.
func (t traffic) minus(earlier traffic) traffic {
	difference := func(a, b accounting.Count) accounting.Count {
		return accounting.Count{Packets: a.Packets - b.Packets, Bytes: a.Bytes - b.Bytes}
	}
	return traffic{difference(t.In, earlier.In), difference(t.Out, earlier.Out)}
}

// address is the box's in the network that it shares with the test.
func (b *box) address() string { return fmt.Sprintf("10.78.%d.1", b.number) }

// connect joins the box and the test by a pair of interfaces that carry
// nothing but the traffic of the test's programs: neighbour entries are
// permanent, and there is no IPv6 to announce itself. So the counters must equal
// the statistics of the interface.
func (b *box) connect(t *testing.T) {
	t.Helper()
	name := fmt.Sprintf("box%d", b.number)
	test := fmt.Sprintf("10.78.%d.2", b.number)
	const boxMAC, testMAC = "02:00:00:00:78:01", "02:00:00:00:78:02"
	ip := func(command *exec.Cmd, batch string) {
		t.Helper()
		command.Stdin = strings.NewReader(batch)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("ip -batch: %v\n%s\nin:\n%s", err, output, batch)
		}
	}
	end := func(device, mac, address, neighbour, neighbourMAC string) string {
		return fmt.Sprintf("link set dev %[1]s addrgenmode none arp off address %[2]s up\n"+
			"address add %[3]s/24 dev %[1]s\n"+
			"neighbour replace %[4]s lladdr %[5]s dev %[1]s nud permanent\n", device, mac, address, neighbour, neighbourMAC)
	}
	ip(exec.Command("ip", "-batch", "-"), fmt.Sprintf("link add %s type veth peer name eth0 netns %d\n", name, b.leader)+
		end(name, testMAC, test, b.address(), boxMAC))
	ip(b.command("ip", "-batch", "-"), end("eth0", boxMAC, b.address(), test, testMAC))
}

// truth returns what the box's interface received and sent, from the IP header
// up.
func (b *box) truth(t *testing.T) traffic {
	t.Helper()
	statistics := testkit.ReadFile(t, fmt.Sprintf("/proc/%d/net/dev", b.leader))
	for line := range strings.Lines(statistics) {
		fields := strings.Fields(line)
		if fields[0] != "eth0:" {
			continue
		}
		side := func(bytes, packets string) accounting.Count {
			const ethernetHeader = 14
			b, bytesErr := strconv.ParseUint(bytes, 10, 64)
			p, packetsErr := strconv.ParseUint(packets, 10, 64)
			if bytesErr != nil || packetsErr != nil {
				t.Fatalf("statistics of eth0: %s", line)
			}
			return accounting.Count{Packets: p, Bytes: b - ethernetHeader*p}
		}
		return traffic{In: side(fields[1], fields[2]), Out: side(fields[9], fields[10])}
	}
	t.Fatalf("the box has no eth0:\n%s", statistics)
	return traffic{}
}

// socket is where the agent answers.
const socket = "/run/ssmonitor/ssmonitor.sock"

// totals asks the agent for the totals of all ports together.
func (b *box) totals() (traffic, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: serving.NewTransport(b.path(socket), nil)}
	response, err := client.Get("http://ssmonitor/v1/ports")
	if err != nil {
		return traffic{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct{ Total traffic }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return traffic{}, fmt.Errorf("the agent's answer, %s: %w", response.Status, err)
	}
	return answer.Total, nil
}

// expectExact waits until the totals equal the interface's statistics. No traffic
// may be in progress.
func (b *box) expectExact(t *testing.T) {
	t.Helper()
	b.expectLoss(t, traffic{})
}

// expectLoss waits until the totals and the loss together equal the interface's
// statistics.
func (b *box) expectLoss(t *testing.T, loss traffic) {
	t.Helper()
	eventually(t, func() error {
		totals, err := b.totals()
		if err != nil {
			return err
		}
		if truth := b.truth(t); truth.minus(totals) != loss {
			return fmt.Errorf("the totals are\n%+v, the interface says\n%+v, to be lost were\n%+v", totals, truth, loss)
		}
		return nil
	})
}

// loss returns by how much the totals are too low once the last packet has been
// counted.
func (b *box) loss(t *testing.T) traffic {
	t.Helper()
	var before traffic
	// Once nothing changes between two requests to the agent, everything that
	// was in transit has arrived.
	eventually(t, func() error {
		totals, err := b.totals()
		if err != nil {
			return err
		}
		now := b.truth(t).minus(totals)
		settled := now == before
		before = now
		if !settled {
			return fmt.Errorf("the loss still changes: %+v", now)
		}
		return nil
	})
	return before
}

// client uses a Shadowsocks port of the box from outside.
type client struct {
	box       *box
	http      *http.Client
	datagrams net.Conn // to the same port by UDP, with nothing that the server understands
	target    string   // what the client asks the server for
	exchanges atomic.Int64
}

// newClient starts Shadowsocks's client for a port of the box. It asks the
// server for pages from a server on the box's own loopback, so that nothing
// but Shadowsocks passes the interface.
func newClient(t *testing.T, b *box, port int) *client {
	t.Helper()
	proxy := startProxy(t, b.address(), port)
	datagrams, err := net.Dial("udp", net.JoinHostPort(b.address(), strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = datagrams.Close() })
	c := &client{
		box:       b,
		http:      &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}},
		datagrams: datagrams,
		target:    b.startTarget(t),
	}
	t.Cleanup(c.http.CloseIdleConnections)
	eventually(t, c.exchange) // until both ends listen
	return c
}

// startProxy starts ss-local and returns the address of its SOCKS server.
func startProxy(t *testing.T, server string, port int) *url.URL {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	_ = listener.Close() // nobody else takes ports in the test's network
	configuration := filepath.Join(t.TempDir(), "client.json")
	testkit.ReplaceFile(t, configuration, fmt.Sprintf(
		`{"server":"%s","server_port":%d,"local_address":"127.0.0.1","local_port":%d,"password":"%s","method":"chacha20-ietf-poly1305"}`,
		server, port, address.Port, password))
	local := exec.Command("ss-local", "-c", configuration)
	if err := local.Start(); err != nil {
		t.Fatalf("starting ss-local: %v", err)
	}
	t.Cleanup(func() {
		_ = local.Process.Signal(syscall.SIGKILL) // fails only when the process has ended
		_ = local.Wait()                          // the signal is its error
	})
	return &url.URL{Scheme: "socks5", Host: address.String()}
}

// startTarget serves HTTP on the loopback of the box and returns the URL. The
// server accepts any upload and returns as many bytes as the query says.
func (b *box) startTarget(t *testing.T) string {
	t.Helper()
	var listener net.Listener
	b.inside(t, func() (err error) {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		size, _ := strconv.Atoi(r.URL.RawQuery)
		_, _ = w.Write(make([]byte, size))
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// exchange sends and receives some kilobytes, and sends a datagram now and then.
func (c *client) exchange() error {
	const up, down = 20_000, 60_000
	response, err := c.http.Post(c.target+"/?"+strconv.Itoa(down), "application/octet-stream", strings.NewReader(strings.Repeat("x", up)))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	received, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return err
	}
	if received != down {
		return fmt.Errorf("received %d bytes of %d", received, down)
	}
	// Not in each round, since Shadowsocks logs an error for each datagram, and
	// not before it listens, since the kernel would answer by ICMP.
	if c.exchanges.Add(1)%10 == 1 {
		_, err = c.datagrams.Write(make([]byte, 500))
	}
	return err
}

// exchangeAll does that many exchanges, none of which may fail.
func (c *client) exchangeAll(t *testing.T, count int) {
	t.Helper()
	for range count {
		if err := c.exchange(); err != nil {
			t.Fatal(err)
		}
	}
}

// startBusy makes the client exchange data until stop is called, which returns
// the last error.
func (c *client) startBusy(t *testing.T) (stop func() error) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() {
		pause := time.NewTicker(20 * time.Millisecond)
		defer pause.Stop()
		var failed error
		for {
			select {
			case <-pause.C:
				if err := c.exchange(); err != nil {
					failed = err
				}
			case <-quit:
				done <- failed
				return
			}
		}
	}()
	stop = sync.OnceValue(func() error {
		close(quit)
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// waitExchanges waits until a busy client has completed more exchanges.
func (c *client) waitExchanges(t *testing.T, more int64) {
	t.Helper()
	goal := c.exchanges.Load() + more
	eventually(t, func() error {
		if now := c.exchanges.Load(); now < goal {
			return fmt.Errorf("the client did %d exchanges, not yet %d", now, goal)
		}
		return nil
	})
}
