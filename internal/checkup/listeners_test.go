package checkup

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/nft"
)

func TestListeningFindings(t *testing.T) {
	type sockets map[accounting.Protocols][]sockdiag.ListeningSocket
	at := func(address string, ports ...uint16) (list []sockdiag.ListeningSocket) {
		for _, port := range ports {
			list = append(list, sockdiag.ListeningSocket{Port: port, Address: netip.MustParseAddr(address)})
		}
		return list
	}
	everywhere := func(ports ...uint16) []sockdiag.ListeningSocket { return at("::", ports...) }
	onlyTCP := accounting.Ports{{Number: 1, Protocols: accounting.OnlyTCP}}
	for _, test := range []struct {
		name    string
		ports   accounting.Ports
		listen  sockets
		refused accounting.Protocols // that can't be listed
		prepare func(*checker, *answers)
		want    []string
	}{
		{name: "both protocols", ports: portsOf(1), listen: sockets{accounting.OnlyTCP: everywhere(1), accounting.OnlyUDP: everywhere(1)}},
		{name: "one of the protocols", ports: portsOf(1, 2), listen: sockets{accounting.OnlyTCP: everywhere(1), accounting.OnlyUDP: everywhere(2)}},
		{name: "nobody", ports: portsOf(1, 2), listen: sockets{accounting.OnlyTCP: everywhere(2)},
			want: []string{"note port-not-listening port 1: no program of this host listens there: it stays at 0"}},
		{name: "the other protocol", ports: onlyTCP, listen: sockets{accounting.OnlyUDP: everywhere(1)},
			want: []string{"note port-not-listening port 1/tcp: no program"}},
		{name: "a few", ports: portsOf(1, 2, 3, 5, 7), want: slices.Repeat([]string{"note port-not-listening start the server"}, 5)},
		{name: "many", ports: portsOf(1, 2, 3, 4, 5, 6), want: []string{"note port-not-listening ports 1-6: no program of this host listens there: they stay at 0"}},
		{name: "remedy for many", ports: portsOf(1, 2, 3, 4, 5, 6), want: []string{"note port-not-listening or, if the ports are left over from an earlier one, remove them from where"}},
		{name: "loopback", ports: portsOf(1, 2), listen: sockets{accounting.OnlyTCP: at("127.0.0.1", 1, 2)},
			want: []string{"note port-not-listening ports 1-2: a server listens there at a loopback address only"}},
		{name: "loopback, and everywhere", ports: portsOf(1, 2), listen: sockets{accounting.OnlyTCP: slices.Concat(at("127.0.0.1", 1), everywhere(1, 2), at("::1", 2))}},
		{name: "loopback by TCP, UDP everywhere", ports: portsOf(1), listen: sockets{accounting.OnlyTCP: at("127.0.0.1", 1), accounting.OnlyUDP: everywhere(1)}},
		{name: "handed on", ports: portsOf(1, 2), prepare: func(_ *checker, k *answers) {
			k.scene.Redirected = []accounting.Target{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("172.17.0.2:8388"), Port: 2}}
		},
			want: []string{"note port-not-listening port 1: "}},
		{name: "named elsewhere", ports: portsOf(1), prepare: func(c *checker, _ *answers) {
			c.Sources.Targets = []accounting.Target{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("172.17.0.2:8388"), Port: 1}}
		}},
		{name: "published by the list", ports: accounting.Ports{{Number: 1, Protocols: accounting.TCPAndUDP, Published: true}}},
		{name: "the hook for containers", ports: portsOf(1), prepare: func(c *checker, _ *answers) { c.Settings.Hook = nft.HookContainer }},
		{name: "rules that can't be read", ports: portsOf(1), prepare: func(_ *checker, k *answers) { k.scene.Rules.LegacyNAT = true },
			want: []string{"note port-not-listening it stays at 0, unless rules that can't be read hand it on"}},
		{name: "no UDP in the kernel", ports: portsOf(1, 2), listen: sockets{accounting.OnlyTCP: everywhere(2)}, refused: accounting.OnlyUDP,
			want: []string{"unknown port-not-listening can't be checked for port 1: refused"}},
		{name: "no UDP in the kernel, but on loopback", ports: portsOf(1), listen: sockets{accounting.OnlyTCP: at("127.0.0.1", 1)}, refused: accounting.OnlyUDP,
			want: []string{"unknown port-not-listening modprobe -a tcp_diag udp_diag"}},
		{name: "no UDP in the kernel, where it does not count", ports: onlyTCP, refused: accounting.OnlyUDP, want: []string{"note port-not-listening port 1/tcp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, kernel := newCheck(t)
			c.Sources, c.Settings.List = sources.Sources{Ports: test.ports}, "/nosuch"
			c.Machine.Listeners = func(protocols accounting.Protocols) ([]sockdiag.ListeningSocket, error) {
				if test.refused&protocols != 0 {
					return nil, errors.New("refused")
				}
				return test.listen[protocols], nil
			}
			if test.prepare != nil {
				test.prepare(c, kernel)
			}
			var got []finding.Finding
			for _, f := range c.findings() {
				if f.ID == finding.PortNotListening {
					got = append(got, f)
				}
			}
			wantFindings(t, got, test.want...)
		})
	}
}

// TestRemovingWhatNobodyServes has a port of each kind of source.
func TestRemovingWhatNobodyServes(t *testing.T) {
	for source, want := range map[string]string{
		"":                                "ssmonitor setup",
		"/etc/ss.json":                    "remove it from /etc/ss.json, then ssmonitor setup",
		"--port":                          "name it no more with --port, then ssmonitor setup",
		"process ss-server: /srv/a b":     "remove it from /srv/a b, with which ss-server runs, then ssmonitor setup",
		"process ss-server: command line": "restart ss-server, which has it, without it, then ssmonitor setup",
		"process ssserver: sockets":       "restart ssserver, which has it, without it, then ssmonitor setup",
	} {
		c, _ := newCheck(t)
		c.Machine.Listeners = func(accounting.Protocols) ([]sockdiag.ListeningSocket, error) { return nil, nil }
		c.Sources, c.Settings.List = sources.Sources{}, filepath.Join(t.TempDir(), "ports")
		entry := portlist.Entry{Port: accounting.Port{Number: 1, Protocols: accounting.TCPAndUDP}}
		if source != "" {
			entry.Sources = []string{source}
		}
		if err := portlist.Write(c.Settings.List, []portlist.Entry{entry}); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range c.findings() {
			found = found || f.ID == finding.PortNotListening
			if f.ID == finding.PortNotListening && !strings.HasSuffix(f.Remedy, "left over from an earlier one, "+want) {
				t.Errorf("%q: got %q, want %q", source, f.Remedy, want)
			}
		}
		if !found {
			t.Errorf("%q: there is no finding", source)
		}
	}
}

// TestListeningWithoutRights has no rules: what they hand on is not known.
func TestListeningWithoutRights(t *testing.T) {
	c, _ := newCheck(t)
	c.table, c.tableErr = nil, errors.New("refused")
	c.Machine.Listeners = func(accounting.Protocols) ([]sockdiag.ListeningSocket, error) {
		return []sockdiag.ListeningSocket{{Port: 1, Address: netip.IPv6Unspecified()}}, nil
	}
	wantProblems(t, c, "wrong kernel-nf-tables", "note port-not-listening port 2: no program of this host listens there: it stays at 0, unless rules")
}
