package survey

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// dumps returns the payloads of all rules, sets and elements in the test's
// namespace.
func dumps(tb testing.TB) (payloads [][]byte) {
	tb.Helper()
	r := &ruleset{conn: dial(tb)}
	collect := func(payload []byte) { payloads = append(payloads, payload) }
	for _, messageType := range []int{unix.NFT_MSG_GETRULE, unix.NFT_MSG_GETSET} {
		if err := r.dump(messageType, unix.NFPROTO_UNSPEC, nil, collect); err != nil {
			tb.Fatal(err)
		}
	}
	ids := []netlink.Attribute{{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte("nat\x00")}, {Type: unix.NFTA_SET_ELEM_LIST_SET, Data: []byte("m\x00")}}
	if err := r.dump(unix.NFT_MSG_GETSETELEM, unix.NFPROTO_IPV4, ids, collect); err != nil {
		tb.Fatal(err)
	}
	return payloads
}

// closedConn returns a connection over which nothing can be read.
func closedConn(tb testing.TB) *netlink.Conn {
	tb.Helper()
	conn := dial(tb)
	if err := conn.Close(); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// nest returns attributes as they stand in another one.
func nest(t *testing.T, attributes ...netlink.Attribute) []byte {
	t.Helper()
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// expression returns an expression of a rule.
func expression(t *testing.T, name string, attributes ...netlink.Attribute) []byte {
	t.Helper()
	return nest(t, netlink.Attribute{Type: unix.NFTA_EXPR_NAME, Data: []byte(name + "\x00")}, netlink.Attribute{Type: unix.NFTA_EXPR_DATA, Data: nest(t, attributes...)})
}

// FuzzDecode decodes any bytes as a rule, a set and elements, and applies the rule
// and the elements to packets.
func FuzzDecode(f *testing.F) {
	testkit.NetworkNamespace(f)
	testkit.NFT(f, nat("ip", "map m {\ntype ipv4_addr . inet_service : verdict\nflags interval\nelements = { 192.0.2.1 . 1-9 : accept, * : goto c }\n}\nchain c {\n}",
		`ip daddr . tcp dport vmap @m; tcp dport & 0xfffe == 20000 meta mark set mark or 1; meta mark 1-5 dnat to numgen inc mod 2 map { 0 : 172.17.0.2, 1 : 172.17.0.3 }; iifname "br*" udp dport set 5`))
	for rule := range strings.SplitSeq("-p udp -m multiport ! --dports 1,2:5 -j REDIRECT;-m statistic --mode nth --every 2 --packet 0 -m mark --mark 1/2 -j CONNMARK --save-mark;-j MARK --set-mark 5", ";") {
		iptables(f, "iptables-nft", "-t nat -A PREROUTING "+rule)
	}
	for _, payload := range dumps(f) {
		f.Add(payload)
	}
	closed := closedConn(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		_, decoded, _ := decodeRule(payload)
		_, s, _ := decodeSet(payload)
		elements, _ := decodeElements(payload)
		table := tableID{nftables.TableFamilyIPv4, "nat"}
		s.entries, s.isRead = entriesOf(elements, s.intervals), true
		rules := &ruleset{conn: closed, sets: map[objectID]*set{{table, s.name}: &s, {table, "m"}: &s}}
		p := packet{family: unix.NFPROTO_IPV4, protocol: accounting.TCP, ports: allPorts, addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
		a := application{rules: rules, chain: &chain{table: table}, packet: p}
		outcomes, _ := a.apply(decoded)
		for _, o := range outcomes {
			if len(o.packet.ports) == 0 {
				t.Error("a packet without ports")
			}
		}
	})
}

// TestEntriesOfAdjacentIntervals has an interval begin where another ends, in the
// order of a kernel's dump.
func TestEntriesOfAdjacentIntervals(t *testing.T) {
	at := func(port uint16, end bool) entry {
		return entry{keys: interval{first: []byte{byte(port >> 8), byte(port)}}, intervalEnd: end}
	}
	var got []PortRange
	for _, e := range entriesOf([]entry{at(301, true), at(201, false), at(201, true), at(100, false), at(0, true)}, true) {
		got = append(got, e.answer(fieldCells(portField, 2), []int{2}).must...)
	}
	if want := []PortRange{{100, 200}, {201, 300}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestUnreadableSets has sets whose elements can't be read. That is reported once,
// for those in which a look-up matters.
func TestUnreadableSets(t *testing.T) {
	rules := &ruleset{conn: closedConn(t), sets: make(map[objectID]*set)}
	table := tableID{nftables.TableFamilyIPv4, "nat"}
	for range 2 {
		if _, err := rules.set(table, "ports"); err == nil || len(rules.unread) != 1 {
			t.Errorf("got %v, unread %v, want an error", err, rules.unread)
		}
	}
	plain := rule{expressions: []any{&expr.Lookup{SetName: "clients"}}}
	if got := rules.verdicts(&chain{table: table}, plain); len(got) > 0 || len(rules.unread) != 1 {
		t.Errorf("got the verdicts %v of a set without any, unread %v", got, rules.unread)
	}
}

// TestUnreadableRule has a rule whose second expression can't be decoded.
func TestUnreadableRule(t *testing.T) {
	message := append([]byte{unix.NFPROTO_IPV4, unix.NFNETLINK_V0, 0, 0}, nest(t,
		netlink.Attribute{Type: unix.NFTA_RULE_TABLE, Data: []byte("nat\x00")}, netlink.Attribute{Type: unix.NFTA_RULE_CHAIN, Data: []byte("DOCKER\x00")},
		netlink.Attribute{Type: unix.NFTA_RULE_HANDLE, Data: []byte{0, 0, 0, 0, 0, 0, 0, 9}},
		netlink.Attribute{Type: unix.NFTA_RULE_EXPRESSIONS, Data: nest(t,
			netlink.Attribute{Type: unix.NFTA_LIST_ELEM, Data: expression(t, "notrack")}, netlink.Attribute{Type: unix.NFTA_LIST_ELEM, Data: []byte{3, 0, 0, 0}})})...)
	found := &chain{place: Place{"ip", "nat", "DOCKER"}}
	r := &ruleset{chainOf: map[objectID]*chain{{tableID{nftables.TableFamilyIPv4, "nat"}, "DOCKER"}: found}}
	r.addRule(message)
	if len(found.rules) != 1 || !found.rules[0].matters() {
		t.Errorf("got the rules %+v, want one, with what could be read", found.rules)
	}
	if len(r.unread) != 1 || !strings.HasPrefix(r.unread[0].Error(), "chain ip nat DOCKER, rule 9: ") {
		t.Errorf("got %v, want the rule's error", r.unread)
	}
}

// TestTargetOfManyRanges has the target of a program that says how many ranges
// follow, which no kernel accepts.
func TestTargetOfManyRanges(t *testing.T) {
	got, err := decodeExpression(unix.NFPROTO_IPV4, expression(t, "target",
		netlink.Attribute{Type: unix.NFTA_TARGET_NAME, Data: []byte("DNAT\x00")}, netlink.Attribute{Type: unix.NFTA_TARGET_REV, Data: make([]byte, 4)},
		netlink.Attribute{Type: unix.NFTA_TARGET_INFO, Data: []byte{0xff, 0xff, 0xff, 0xff}}))
	if err != nil {
		t.Fatal(err)
	}
	a := application{rules: &ruleset{}, chain: &chain{}, translates: true, packet: packet{ports: allPorts}}
	applied := rule{expressions: []any{got}}
	if outcomes, _ := a.apply(applied); len(outcomes) != 1 || outcomes[0].result == nil || outcomes[0].result.reason == "" || !applied.matters() {
		t.Errorf("got %+v, outcomes %+v, want one reason", got, outcomes)
	}
}
