package survey

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// TestIptablesTranslations has rules of iptables-nft and ip6tables-nft. Each row
// appends rules, separated by ";", to tables that have chains as Docker has them.
func TestIptablesTranslations(t *testing.T) {
	const hmark = "mangle PREROUTING -p tcp --dport 20000 -j HMARK --hmark-tuple src --hmark-mod 10 --hmark-offset 100 --hmark-rnd 1"
	for _, test := range []struct {
		name    string
		command string
		rules   string
		want    []string
	}{
		{"docker", "", "DOCKER ! -i docker0 -p tcp -m tcp --dport 20000 -j DNAT --to-destination 172.17.0.2:8388", []string{"tcp 20000 > 172.17.0.2 :8388 local"}},
		{"docker on one address", "", "DOCKER -d 192.0.2.1/32 ! -i docker0 -p udp -m udp --dport 20000 -j DNAT --to-destination 172.17.0.2:8388",
			[]string{"udp 20000 > 172.17.0.2 :8388 local"}},
		{"docker on an address of another", "", "DOCKER -d 192.0.2.9/32 -p udp --dport 20000 -j DNAT --to-destination 172.17.0.2:8388", nil},
		{"docker of IPv6", "ip6tables-nft", "DOCKER ! -i docker0 -p tcp -m tcp --dport 20000 -j DNAT --to-destination [fd00::2]:8388",
			[]string{"tcp 20000 > fd00::2 :8388 local"}},
		{"hairpin rule of docker", "", "DOCKER -i docker0 -j RETURN;DOCKER -p tcp --dport 20000 -j DNAT --to 172.17.0.2", []string{"tcp 20000 > 172.17.0.2 local"}},
		{"range", "", "DOCKER -p tcp --dport 20000:20002 -j DNAT --to 172.17.0.2:8000-8002", []string{"tcp 20000-20002 > 172.17.0.2 :8000-8002 local"}},
		{"shifted range", "", "DOCKER -p tcp --dport 20000:20002 -j DNAT --to 172.17.0.2:8000-8001/20000",
			[]string{"tcp 20000 > 172.17.0.2 :8000 local", "tcp 20001 > 172.17.0.2 :8001 local", "tcp 20002 > 172.17.0.2 :8000 local"}},
		{"shifted range, from below", "", "DOCKER -p tcp --dport 19998:20000 -j DNAT --to 172.17.0.2:8000-8002/20000",
			[]string{"tcp 19998 > 172.17.0.2 :8002 local", "tcp 19999 > 172.17.0.2 :8000 local", "tcp 20000 > 172.17.0.2 :8000 local"}},
		{"address range", "", "DOCKER -p tcp --dport 20000 -j DNAT --to 172.17.0.2-172.17.0.3", []string{"tcp 20000 > 172.17.0.2 local", "tcp 20000 > 172.17.0.3 local"}},
		{"not a port", "", "DOCKER -p tcp ! --dport 22 -j DNAT --to 172.17.0.2", []string{"tcp 1-21 > 172.17.0.2 local", "tcp 23-65535 > 172.17.0.2 local"}},
		{"ports", "", "DOCKER -p udp -m multiport --dports 20000,20002:20003 -j DNAT --to 172.17.0.2",
			[]string{"udp 20000 > 172.17.0.2 local", "udp 20002-20003 > 172.17.0.2 local"}},
		{"not ports", "", "DOCKER -p udp -m multiport ! --dports 22,80:65535 -j DNAT --to 172.17.0.2",
			[]string{"udp 1-21 > 172.17.0.2 local", "udp 23-79 > 172.17.0.2 local"}},
		{"either port", "", "DOCKER -p udp -m multiport --ports 20000 -j DNAT --to 172.17.0.2;DOCKER -p udp --dport 20000:20001 -j DNAT --to 172.17.0.9",
			[]string{"udp 1-65535 > 172.17.0.2 local", "udp 20001 > 172.17.0.9 local"}},
		{"redirect", "", "DOCKER -p tcp --dport 20000 -j REDIRECT --to-ports 8388", []string{"tcp 20000 > :8388 local"}},
		{"redirect of IPv6", "ip6tables-nft", "DOCKER -p tcp --dport 20000 -j REDIRECT --to-ports 8388", []string{"tcp 20000 > :8388 local"}},
		{"syn and state", "", "DOCKER -p tcp --syn --dport 20000 -m conntrack --ctstate NEW -m comment --comment x -j DNAT --to 172.17.0.2",
			[]string{"tcp 20000 > 172.17.0.2 local"}},
		{"established", "", "DOCKER -p tcp --dport 20000 -m conntrack --ctstate ESTABLISHED -j DNAT --to 172.17.0.2", nil},
		{"not to this host", "", "PREROUTING -m addrtype ! --dst-type LOCAL -p tcp --dport 20000 -j DNAT --to 172.17.0.9", nil},
		{"anywhere", "", "PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9", []string{"tcp 20000 > 172.17.0.9"}},
		{"local by interface", "", "PREROUTING -m addrtype --dst-type LOCAL --limit-iface-in -p tcp --dport 20000 -j DNAT --to 172.17.0.9", []string{"tcp 20000 > 172.17.0.9 local"}},
		{"not local by interface", "", "PREROUTING -m addrtype ! --dst-type LOCAL --limit-iface-in -p tcp --dport 20000 -j DNAT --to 172.17.0.9", []string{"tcp 20000 > 172.17.0.9"}},
		{"accepted by a transparent proxy", "", "mangle PREROUTING -p tcp --dport 20000 -j TPROXY --on-port 8388 --tproxy-mark 1;mangle PREROUTING -p tcp --dport 20000 -j DROP;" +
			"PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9", []string{"tcp 20000 > 172.17.0.9"}},
		{"proxy of a bridge", "", "PREROUTING -i bridge0 -p tcp --dport 443 -j DNAT --to 172.17.0.9", []string{"tcp 443 > 172.17.0.9 in bridge0"}},
		{"proxy of bridges", "", "PREROUTING -i br+ -s 10.0.0.0/8 -p tcp --dport 443 -j DNAT --to 172.17.0.9", []string{"tcp 443 > 172.17.0.9 in br* from 10.0.0.0/8"}},
		{"proxy of a range of senders", "", "PREROUTING -m iprange --src-range 10.0.0.0-10.0.0.15 -p tcp --dport 443 -j DNAT --to 172.17.0.9", []string{"tcp 443 > 172.17.0.9 from 10.0.0.0/28"}},
		{"proxy of all but a range of senders", "", "PREROUTING -m iprange ! --src-range 10.0.0.0-10.0.0.15 -p tcp --dport 443 -j DNAT --to 172.17.0.9", []string{"tcp 443 > 172.17.0.9"}},
		{"range of addresses of IPv6", "ip6tables-nft", "PREROUTING -m iprange --src-range fd00::-fd00::f --dst-range 2001:db8::1-2001:db8::2 -p tcp --dport 443 -j DNAT --to [fd00::9]",
			[]string{"tcp 443 > fd00::9 from fd00::/124"}},
		{"range of addresses of others", "", "PREROUTING -m iprange --dst-range 10.0.0.0-10.0.0.15 -p tcp --dport 443 -j DNAT --to 172.17.0.9", nil},
		{"all but a range of addresses of this host", "", "PREROUTING -m iprange ! --dst-range 192.0.2.1-192.0.2.2 -p tcp --dport 443 -j DNAT --to 172.17.0.9", nil},
		{"accepted before", "", "PREROUTING -p tcp --dport 20000 -j ACCEPT;PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9", nil},
		{"kube-proxy", "", "DOCKER -p tcp -m tcp --dport 20000 -j SERVICE;SERVICE -m statistic --mode random --probability 0.5 -j ENDPOINT;SERVICE -p tcp -j DNAT --to 172.17.0.3:8388;" +
			"ENDPOINT -m addrtype --src-type LOCAL -j MARK --set-xmark 0x4000/0x4000;ENDPOINT -s 172.17.0.2/32 -j MARK --set-xmark 0x4000/0x4000;ENDPOINT -p tcp -j DNAT --to-destination 172.17.0.2:8388",
			[]string{"tcp 20000 > 172.17.0.2 :8388 local", "tcp 20000 > 172.17.0.3 :8388 local"}},
		{"mark of what is for this host", "", "mangle PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 20000 -j MARK --set-mark 0x1/0xff;PREROUTING -i br0 -m mark --mark 0x1/0x1 -j DNAT --to 172.17.0.2",
			[]string{"tcp 20000 > 172.17.0.2 in br0 local"}},
		{"mark", "", "mangle PREROUTING -p tcp --dport 20000 -j MARK --set-mark 0x1/0xff;PREROUTING -m mark --mark 0x1/0x1 -j DNAT --to 172.17.0.2", []string{"tcp 20000 > 172.17.0.2"}},
		{"no mark", "", "mangle PREROUTING -p tcp --dport 20000 -j MARK --set-mark 0x1;PREROUTING -p tcp --dport 20000:20001 -m mark ! --mark 0x1 -j DNAT --to 172.17.0.2",
			[]string{"tcp 20001 > 172.17.0.2"}},
		{"connection mark", "", "mangle PREROUTING -p tcp --dport 20000 -j CONNMARK --set-mark 0x5;mangle PREROUTING -j CONNMARK --restore-mark;PREROUTING -m mark --mark 0x5 -j DNAT --to 172.17.0.2",
			[]string{"tcp 20000 > 172.17.0.2"}},
		{"mark saved", "", "mangle PREROUTING -p tcp --dport 20000 -j MARK --set-mark 0x5;mangle PREROUTING -j CONNMARK --save-mark;PREROUTING -m connmark --mark 0x5/0xff -j DNAT --to 172.17.0.2",
			[]string{"tcp 20000 > 172.17.0.2"}},
		{"part of a mark", "", "mangle PREROUTING -p tcp --dport 20000 -j MARK --set-mark 0x105;mangle PREROUTING -j MARK --set-xmark 0x12/0xf;PREROUTING -m mark --mark 0x112 -j DNAT --to 172.17.0.2",
			[]string{"tcp 20000 > 172.17.0.2"}},
		{"part of a connection mark", "", "mangle PREROUTING -p tcp --dport 20000 -j CONNMARK --set-mark 0x105;mangle PREROUTING -j CONNMARK --set-xmark 0x12/0xf;" +
			"PREROUTING -m connmark --mark 0x112 -j DNAT --to 172.17.0.2", []string{"tcp 20000 > 172.17.0.2"}},
		{"part of a mark saved", "", "mangle PREROUTING -p tcp --dport 20000 -j MARK --set-mark 0x35;mangle PREROUTING -j CONNMARK --set-mark 0x1234;" +
			"mangle PREROUTING -j CONNMARK --save-mark --nfmask 0xf --ctmask 0xff00;PREROUTING -m connmark --mark 0x31 -j DNAT --to 172.17.0.2", []string{"tcp 20000 > 172.17.0.2"}},
		{"part of a mark restored", "", "mangle PREROUTING -p tcp --dport 20000 -j MARK --set-mark 0x35;mangle PREROUTING -j CONNMARK --set-mark 0x1234;" +
			"mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xff;PREROUTING -m mark --mark 0x31 -j DNAT --to 172.17.0.2", []string{"tcp 20000 > 172.17.0.2"}},
		{"connection mark shifted", "", "mangle PREROUTING -p tcp --dport 20000 -j CONNMARK --set-xmark 0x5/0xf --left-shift-mark 2;PREROUTING -p tcp --dport 20000 -m connmark --mark 0x14 -j DNAT --to 172.17.0.2;PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9",
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},
		{"mark by a hash", "", hmark + ";PREROUTING -p tcp --dport 20000 -m mark --mark 0x65 -j DNAT --to 172.17.0.2;PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9",
			[]string{"tcp 20000 > 172.17.0.2", "tcp 20000 > 172.17.0.9"}},
		{"part of a mark by a hash restored", "", hmark + ";mangle PREROUTING -j CONNMARK --set-mark 0x5;mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf;" +
			"PREROUTING -p tcp --dport 20000 -m mark --mark 0x5/0xf -j DNAT --to 172.17.0.2", []string{"tcp 20000 > 172.17.0.2"}},
		{"a program decides", "", "mangle PREROUTING -p tcp --dport 20000 -j NFQUEUE;mangle PREROUTING -p tcp --dport 20000 -j DROP;PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9",
			[]string{"tcp 20000 > 172.17.0.9"}},
		{"conntrack zone", "", "raw PREROUTING -p tcp --dport 20000 -j CT --zone 1;PREROUTING -p tcp --dport 20000 -j DNAT --to 172.17.0.9", []string{"tcp 20000 > 172.17.0.9"}},
		{"not tracked", "", "raw PREROUTING -p tcp --dport 20000 -j CT --notrack;PREROUTING -p tcp --dport 20000:20001 -j DNAT --to 172.17.0.2", []string{"tcp 20001 > 172.17.0.2"}},
		{"transparent proxy", "", "mangle PREROUTING -p tcp --dport 20000 -j TPROXY --on-port 8388 --tproxy-mark 1", nil},
		{"network to another", "", "PREROUTING -p tcp --dport 20000 -j NETMAP --to 172.17.0.0/24", []string{"tcp 20000 ? target NETMAP is not known"}},
		{"unknown match", "", "DOCKER -p tcp --dport 20000 -m hashlimit --hashlimit-upto 5/sec --hashlimit-name x -j DNAT --to 172.17.0.2;DOCKER -p tcp --dport 20000 -j DNAT --to 172.17.0.9",
			[]string{"tcp 20000 > 172.17.0.2 local", "tcp 20000 > 172.17.0.9 local"}},
		{"output", "", "OUTPUT -p tcp --dport 20000 -j DNAT --to 172.17.0.2", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			command := test.command
			if command == "" {
				command = "iptables-nft"
			}
			for _, chain := range []string{"DOCKER", "SERVICE", "ENDPOINT"} {
				iptables(t, command, "-t nat -N "+chain)
			}
			for rule := range strings.SplitSeq(test.rules, ";") {
				table, rest, other := strings.Cut(rule, " ")
				if !other || table != "mangle" && table != "raw" {
					table, rest = "nat", rule
				}
				iptables(t, command, "-t "+table+" -A "+rest)
			}
			iptables(t, command, "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER")
			wantFound(t, test.want)
		})
	}
}

// TestPortExtensions has the extensions tcp and udp, for which iptables-nft has
// expressions since version 1.8.8.
func TestPortExtensions(t *testing.T) {
	all := [2]uint16{0, 65535}
	for _, test := range []struct {
		name string
		info xt.InfoAny
		want []PortRange
	}{
		{"tcp", &xt.Tcp{SrcPorts: all, DstPorts: [2]uint16{20000, 20002}}, []PortRange{{20000, 20002}}},
		{"tcp, inverted", &xt.Tcp{SrcPorts: all, DstPorts: [2]uint16{10, 65535}, InvFlags: xt.TcpInvDestPorts}, []PortRange{{1, 9}}},
		{"tcp, syn", &xt.Tcp{SrcPorts: all, DstPorts: [2]uint16{1, 2}, FlagsMask: 0x17, FlagsCmp: 2}, []PortRange{{1, 2}}},
		{"tcp, no syn", &xt.Tcp{SrcPorts: all, DstPorts: [2]uint16{1, 2}, FlagsMask: 0x17, FlagsCmp: 2, InvFlags: xt.TcpInvFlags}, nil},
		{"tcp, source", &xt.Tcp{SrcPorts: [2]uint16{5, 6}, DstPorts: [2]uint16{1, 2}}, []PortRange{{1, 2}}},
		{"udp", &xt.Udp{SrcPorts: all, DstPorts: [2]uint16{1, 2}}, nil},
	} {
		p := packet{family: unix.NFPROTO_IPV4, protocol: accounting.TCP, ports: allPorts}
		matched := thread{packet: p}.extension(&expr.Match{Info: test.info})
		var got, others []PortRange
		for _, t := range matched.yes {
			got = append(got, t.ports...)
		}
		for _, t := range matched.no {
			others = append(others, t.ports...)
		}
		if rest := allPorts.minus(newPortSet(append(others, got...))); !slices.Equal(got, test.want) || len(rest) > 0 {
			t.Errorf("%s: got %v, want %v; neither: %v", test.name, got, test.want, rest)
		}
	}
}

// TestTargets has targets that iptables-nft does not write, or not in this form.
func TestTargets(t *testing.T) {
	known, unknown := [4]cell(constantCells([]byte{7, 0, 0, 0})), [4]cell{}
	info := func(values ...byte) xt.InfoAny { u := xt.Unknown(values); return &u }
	for _, test := range []struct {
		name           string
		target         expr.Target
		mark, connMark [4]cell
		untracked      bool
	}{
		{"NOTRACK", expr.Target{Name: "NOTRACK"}, known, known, true},
		{"CT that is too short", expr.Target{Name: "CT", Info: info(1)}, known, known, false},
		{"MARK that is too short", expr.Target{Name: "MARK", Rev: 2, Info: info(1, 2, 3, 4)}, unknown, known, false},
		{"MARK of another revision", expr.Target{Name: "MARK", Rev: 1, Info: info(make([]byte, 8)...)}, unknown, known, false},
		{"CONNMARK that is too short", expr.Target{Name: "CONNMARK", Rev: 1, Info: info(make([]byte, 8)...)}, unknown, unknown, false},
		{"CONNMARK of revision 0", expr.Target{Name: "CONNMARK", Info: info(make([]byte, 16)...)}, unknown, unknown, false},
		{"CONNMARK of revision 1", expr.Target{Name: "CONNMARK", Rev: 1, Info: info(7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 9, 0, 0)}, known, known, false},
		{"not known, in a chain that does not translate", expr.Target{Name: "OTHER"}, known, known, false},
	} {
		left := new(application).step(thread{packet: packet{ports: allPorts, mark: known, connMark: known}}, native(&test.target))
		if len(left) != 1 {
			t.Errorf("%s: got %d threads, want 1", test.name, len(left))
			continue
		}
		if got := left[0]; got.mark != test.mark || got.connMark != test.connMark || got.untracked != test.untracked {
			t.Errorf("%s: got the marks %v and %v, untracked %t, want %+v", test.name, got.mark, got.connMark, got.untracked, test)
		}
	}
}
