package endtoend_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// form is a way to publish a port: rules with words in braces for what depends on
// the family and on the container.
//
//	{ip}   ip or ip6
//	{host} the server's address
//	{to}   the container's address, {next} its second one
//	{dnat} address and port of the container, {dnat next} of its second address, {dnat range} three ports of it
//	{type} ipv4_addr or ipv6_addr
//	{own}  the server's address in the containers' network
type form struct {
	name  string
	nft   string
	xt    string // for iptables-nft-restore or ip6tables-nft-restore
	ports []int  // of the container; empty: containerPort
	next  bool   // whether both addresses of the container get connections
}

// family is the addresses of a container that has been given two for each form.
type family struct{ ip, host, network, addressType string }

var formFamilies = []family{
	{"ip", serverIPv4, "172.30.0.0/24", "ipv4_addr"},
	{"ip6", serverIPv6, "fd30::/64", "ipv6_addr"},
}

func (f family) prefix() netip.Prefix { return netip.MustParsePrefix(f.network) }

// containerAddress returns one of the container's addresses.
func (f family) containerAddress(i int) netip.Addr {
	address := f.prefix().Addr()
	for range i {
		address = address.Next()
	}
	return address
}

// firstForm is the number of the container's address for the first form.
const firstForm = 10

func (f family) addressesOf(number int) (to, next netip.Addr) {
	to = f.containerAddress(firstForm + 2*number)
	return to, to.Next()
}

// expand fills in the words in braces.
func (f family) expand(text string, number int) string {
	to, next := f.addressesOf(number)
	joined := netip.AddrPortFrom(to, containerPort).String()
	addresses := fmt.Sprintf("%s-%s:%d", to, next, containerPort)
	if to.Is6() {
		addresses = fmt.Sprintf("[%s-%s]:%d", to, next, containerPort)
	}
	own, elsewhere := f.containerAddress(1), map[string]string{"ip": elsewhereIPv4, "ip6": elsewhereIPv6}[f.ip]
	return strings.NewReplacer("{network}", f.network, "{range}", f.containerAddress(2).String()+"-"+f.containerAddress(9).String(), "{client}", map[string]string{"ip": clientIPv4, "ip6": clientIPv6}[f.ip], "{own}", own.String(), "{uplink}", map[string]string{"ip": "10.88.0.1", "ip6": "fd88::1"}[f.ip], "{own proxy}", netip.AddrPortFrom(own, proxyPort).String(),
		"{proxy}", netip.AddrPortFrom(netip.MustParseAddr(elsewhere), uint16(proxyPort+number)).String(),
		"{container}", netip.AddrPortFrom(f.containerAddress(2), containerPort).String(), "{ip}", f.ip, "{nfproto}", map[string]string{"ip": "ipv4", "ip6": "ipv6"}[f.ip], "{host}", f.host, "{to}", to.String(), "{next}", next.String(),
		"{type}", f.addressType, "{dnat}", joined, "{dnat addresses}", addresses, "{dnat shifted}", netip.AddrPortFrom(to, 8995).String()+"-9005/19995",
		"{dnat range}", netip.AddrPortFrom(to, 9000).String()+"-9002",
		"{dnat next}", netip.AddrPortFrom(next, containerPort).String(), "{length}", fmt.Sprint(to.BitLen())).Replace(text)
}

// newHostForForms returns a host with a container that answers at every port of its
// addresses, of which there are two for each of so many forms.
func newHostForForms(t *testing.T, forms int) *host {
	t.Helper()
	server, client := newServerAndClient(t)
	h := &host{server, client, newNamespace(t), newNamespace(t)}
	var addresses [2][]string
	for _, f := range formFamilies {
		length := f.prefix().Bits()
		addresses[0] = append(addresses[0], fmt.Sprintf("%s/%d", f.containerAddress(1), length))
		for number := range forms {
			to, next := f.addressesOf(number)
			addresses[1] = append(addresses[1], fmt.Sprintf("%s/%d", to, length), fmt.Sprintf("%s/%d", next, length))
		}
	}
	join(t, server.namespace, h.container, "bridge0", addresses[0], addresses[1])
	ip(t, "-netns", string(h.container), "route", "add", "default", "via", "172.30.0.1")
	ip(t, "-netns", string(h.container), "-6", "route", "add", "default", "via", "fd30::1")
	h.container.nft(t, fmt.Sprintf(`table inet every {
		chain prerouting { type nat hook prerouting priority dstnat; meta l4proto { tcp, udp } redirect to :%d; }
	}`, containerPort))
	ip(t, "-netns", string(h.namespace), "route", "add", "default", "via", clientIPv4)
	ip(t, "-netns", string(h.namespace), "-6", "route", "add", "default", "via", clientIPv6)
	h.prepareForwarding(t)
	h.hideContainers(t)
	h.container.serve(t, containerPort)
	return h
}

// hideContainers hides containers behind the server's address.
func (h *host) hideContainers(t *testing.T) {
	t.Helper()
	h.nft(t, `table inet hiding {
		chain postrouting { type nat hook postrouting priority srcnat; iifname "bridge0" oifname != "bridge0" masquerade; }
	}`)
}

// replaceRules replaces everything but ssmonitor's table and the masquerading in one
// transaction, as the reload of a firewall does.
func (h *host) replaceRules(t *testing.T, rules string) {
	t.Helper()
	var deleted strings.Builder
	for line := range strings.Lines(h.run(t, "nft", "list", "tables")) {
		if name := strings.TrimSpace(line); name != "table inet ssmonitor" && name != "table inet hiding" {
			fmt.Fprintf(&deleted, "delete %s\n", name)
		}
	}
	h.nft(t, deleted.String()+rules)
}

// load puts a form in force instead of the one before.
func (h *host) load(t *testing.T, f form, number int) {
	t.Helper()
	var rules strings.Builder
	for _, family := range formFamilies {
		rules.WriteString(family.expand(f.nft, number))
	}
	h.replaceRules(t, rules.String())
	for _, family := range formFamilies {
		if f.xt == "" {
			continue
		}
		restore := h.command(map[string]string{"ip": "iptables-nft-restore", "ip6": "ip6tables-nft-restore"}[family.ip])
		restore.Stdin = strings.NewReader(strings.ReplaceAll(family.expand(f.xt, number), "\t", ""))
		if output, err := restore.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", f.name, err, output)
		}
	}
}

// waitTargets waits until the table counts all targets of a form.
func (h *host) waitTargets(t *testing.T, f form, number int) error {
	t.Helper()
	ports := f.ports
	if len(ports) == 0 {
		ports = []int{containerPort}
	}
	var missing string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		listing, _ := h.command("nft", "list", "table", "inet", "ssmonitor").CombinedOutput()
		missing = ""
		for _, family := range formFamilies {
			to, next := family.addressesOf(number)
			addresses := []netip.Addr{to, next}[:1]
			if f.next {
				addresses = []netip.Addr{to, next}
			}
			for _, address := range addresses {
				for _, port := range ports {
					for _, protocol := range []string{"tcp", "udp"} {
						element := fmt.Sprintf("%s . %s . %d : ", address, protocol, port)
						if strings.Count(string(listing), element) != 2 {
							missing = element
						}
					}
				}
			}
		}
		if missing == "" {
			return nil
		}
	}
	return errors.New(missing + "is not counted")
}

// visit uses a port over a protocol as a client does: by TCP it downloads and uploads
// so many bytes, by UDP it exchanges datagrams of 1000 bytes.
func (n namespace) visit(t *testing.T, protocol, to string, size int) error {
	t.Helper()
	var failure error
	n.within(t, func(*os.File) error {
		failure = visitFromHere(protocol, to, size)
		return nil
	})
	if failure != nil {
		return fmt.Errorf("%s %s: %w", protocol, to, failure)
	}
	return nil
}

func visitFromHere(protocol, to string, size int) error {
	conn, err := net.DialTimeout(protocol, to, patience/3)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience / 3)); err != nil {
		return err
	}
	if protocol == "tcp" {
		return requestBothWays(conn, bufio.NewReader(conn), to, size)
	}
	return exchangeDatagrams(conn, size)
}

func exchangeDatagrams(conn net.Conn, size int) error {
	const payload = 1000
	for sent := 0; sent < size; sent += payload {
		if _, err := conn.Write(make([]byte, payload)); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, payload)); err != nil {
			return err
		}
	}
	return nil
}

// requestBothWays downloads and uploads over a connection, which stays open.
func requestBothWays(conn net.Conn, answers *bufio.Reader, to string, size int) error {
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		request, err := http.NewRequest(method, fmt.Sprintf("http://%s/%d", to, size), nil)
		if err != nil {
			return err
		}
		if method == http.MethodPut {
			request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, size))), int64(size)
		}
		if err := request.Write(conn); err != nil {
			return err
		}
		answer, err := http.ReadResponse(answers, request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
	}
	return nil
}

// growth compares what the counters of ports have grown by with what the client has
// sent and received since.
type growth struct {
	*host
	ports         []int
	counted, sent traffic
}

func (h *host) since(t *testing.T, ports ...int) *growth {
	t.Helper()
	g := &growth{host: h, ports: ports}
	g.counted, g.sent = g.now(t)
	return g
}

func (g *growth) now(t *testing.T) (counted, sent traffic) {
	t.Helper()
	for _, port := range g.ports {
		counted = counted.plus(g.host.counted(t, port))
	}
	truth := g.client.countersOf(t, "truth")
	return counted, traffic{in: truth["sent"], out: truth["received"]}
}

func (a traffic) minus(b traffic) traffic {
	a.in.Bytes, a.in.Packets = a.in.Bytes-b.in.Bytes, a.in.Packets-b.in.Packets
	a.out.Bytes, a.out.Packets = a.out.Bytes-b.out.Bytes, a.out.Packets-b.out.Packets
	return a
}

// isExact reports a difference that stays: the last packets of a connection take a
// moment.
func (g *growth) isExact(t *testing.T) (carried traffic, err error) {
	t.Helper()
	for end := time.Now().Add(patience / 5); ; time.Sleep(20 * time.Millisecond) {
		counted, sent := g.now(t)
		counted, carried = counted.minus(g.counted), sent.minus(g.sent)
		switch {
		case counted == carried:
			return carried, nil
		case time.Now().After(end):
			return carried, fmt.Errorf("counted %+v, the client sent and received %+v", counted, carried)
		}
	}
}

// testForms publishes a port in one form after another, while counting goes on, and
// uses it over both protocols and formFamilies.
func testForms(t *testing.T, forms []form) {
	const size = 100_000
	require(t, "ss", "iptables-nft-restore", "ip6tables-nft-restore")
	t.Parallel()
	h := newHostForForms(t, len(forms))
	agent := h.startCounting(t, "--port", fmt.Sprint(publishedPort))
	for number, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			h.load(t, f, number)
			if err := h.waitTargets(t, f, number); err != nil {
				t.Error(err)
			}
			g := h.since(t, publishedPort)
			for _, family := range formFamilies {
				to := net.JoinHostPort(family.host, fmt.Sprint(publishedPort))
				for range map[bool]int{true: 4, false: 1}[f.next || len(f.ports) > 1] {
					for _, protocol := range []string{"tcp", "udp"} {
						if err := h.client.visit(t, protocol, to, size); err != nil {
							t.Error(err)
						}
					}
				}
			}
			carried, err := g.isExact(t)
			if err != nil {
				t.Error(err)
			}
			if carried.in.Bytes < 4*size || carried.out.Bytes < 4*size {
				t.Errorf("the client only sent and received %+v", carried)
			}
			if t.Failed() {
				t.Logf("the rules:\n%s", h.ruleset(t))
			}
		})
	}
	agent.stop(t)
	if log := agent.stderr.String(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
		t.Errorf("the agent warns:\n%s", log)
	}
}
