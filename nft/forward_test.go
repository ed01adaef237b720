package nft

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

func target(protocol accounting.Protocol, address string, port uint16) accounting.Target {
	return accounting.Target{Protocol: protocol, Address: netip.MustParseAddrPort(address), Port: port}
}

// containers are targets of the first two ports of portList.
func containers() []accounting.Target {
	return []accounting.Target{
		target(accounting.TCP, "172.30.0.2:8388", 20000),
		target(accounting.UDP, "172.30.0.2:8388", 20000),
		target(accounting.TCP, "[fd30::2]:8388", 20000),
		target(accounting.TCP, "172.30.0.3:8388", 20001),
	}
}

func addressesOfHost() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("172.30.0.1"), netip.MustParseAddr("fd01::1")}
}

// targetsOf returns what the table counts at forward, sorted.
func targetsOf(t *testing.T, table *Table) []accounting.Target {
	t.Helper()
	targets, err := table.Targets()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(targets, accounting.Target.Compare)
	return targets
}

func TestTargetsAddTheForwardChains(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.SetForwarding(accounting.Forwarding{Known: true})
	install(t, table, portList(1))
	moved := target(accounting.TCP, "172.30.0.2:8388", 20001)
	for _, step := range []struct {
		name    string
		ports   accounting.Ports
		targets []accounting.Target
		counted []accounting.Target // nil: the targets
		chains  int
	}{
		{"none", portList(2), nil, nil, 2},
		{"one", portList(2), containers()[:1], nil, 6},
		{"more", portList(2), containers(), nil, 6},
		{"of a port that is not counted", portList(1), containers(), containers()[:3], 6},
		{"fewer, and a port more", portList(3), containers()[1:2], nil, 6},
		{"none again", portList(3), nil, nil, 2},
		{"one again", portList(3), containers()[:1], nil, 6},
		{"one that is another port's now", portList(3), []accounting.Target{moved}, nil, 6},
	} {
		sendUDP(t, "127.0.0.1:20001", 3, 10)
		before := read(t, table)
		table.SetForwarding(accounting.Forwarding{Known: true, Targets: step.targets})
		if step.name != "of a port that is not counted" {
			if findings, err := table.Verify(step.ports); err != nil || len(findings) == 0 {
				t.Fatalf("%s: before Install, Verify found %q, %v", step.name, findings, err)
			}
		} else if err := table.Detach(portList(2)[1:].Keys()); err != nil {
			t.Fatal(err)
		} else {
			table.SetForwarding(accounting.Forwarding{Known: true, Targets: step.targets})
		}
		install(t, table, step.ports)
		verifyNothing(t, table, step.ports)
		other := open(t, Options{})
		other.SetForwarding(accounting.Forwarding{Known: true, Targets: step.targets})
		verifyNothing(t, other, step.ports)
		verifyNothing(t, open(t, Options{}), step.ports) // which leaves undecided what is counted at forward
		want := step.counted
		if want == nil {
			want = step.targets
		}
		slices.SortFunc(want, accounting.Target.Compare)
		if got := targetsOf(t, table); !slices.Equal(got, want) {
			t.Errorf("%s: the table counts %v, want %v", step.name, got, want)
		}
		if got := strings.Count(nftCommand(t, "list table inet ssmonitor"), "chain "); got != step.chains {
			t.Errorf("%s: the table has %d chains, want %d", step.name, got, step.chains)
		}
		after := read(t, table)
		for key, reading := range before {
			if after[key] != reading {
				t.Errorf("%s: %s: got %+v, want %+v as before", step.name, key, after[key], reading)
			}
		}
	}
	// Where the hook is forced to the container's, nothing is forwarded.
	container := open(t, Options{Hook: HookContainer})
	container.SetForwarding(accounting.Forwarding{Known: true, Targets: containers()})
	install(t, container, portList(3))
	if listing := nftCommand(t, "list table inet ssmonitor"); strings.Contains(listing, "forward") {
		t.Errorf("hook container has\n%s", listing)
	}
}

func verifyNothing(t *testing.T, table *Table, ports accounting.Ports) {
	t.Helper()
	if findings, err := table.Verify(ports); err != nil || len(findings) > 0 {
		t.Fatalf("Verify found %q, %v", findings, err)
	}
}

// What is counted at forward and others change is repaired, and what the table lists
// loads again and is listed as it was.
func TestForwardIsRepairedAndReloaded(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	forwarding := accounting.Forwarding{Known: true, Targets: containers(), Addresses: addressesOfHost()}
	table.SetForwarding(forwarding)
	install(t, table, portList(2))
	listing := nftCommand(t, "list table inet ssmonitor")
	for _, broken := range []string{
		"flush chain inet ssmonitor forward-ip-in",
		"delete chain inet ssmonitor forward-ip6-out",
		"add rule inet ssmonitor forward-ip-out accept",
		"flush map inet ssmonitor forward-ip-in",
		"flush chain inet ssmonitor forward-ip-in; delete map inet ssmonitor forward-ip-in",
		`delete element inet ssmonitor forward-ip-in { 172.30.0.3 . tcp . 8388 }`,
		`add element inet ssmonitor forward-ip-in { 172.30.0.9 . tcp . 1 : "tcp-20000-in" }`,
		`add element inet ssmonitor forward-ip6-out { fd30::9 . tcp . 1 : "udp-20000-out" }`,
		`add element inet ssmonitor forward-ip6-out { fd30::9 . tcp . 1 : "tcp-20000-in" }`,
		`add element inet ssmonitor forward-ip-out { 172.30.0.9 . sctp . 1 : "tcp-20000-out" }`,
		`delete element inet ssmonitor forward-ip-in { 172.30.0.3 . tcp . 8388 }
		 add element inet ssmonitor forward-ip-in { 172.30.0.3 . tcp . 8388 : "tcp-20000-in" }`,
		`add element inet ssmonitor forward-ip-in { * : "tcp-20000-in" }`,
		"flush set inet ssmonitor host-ip",
		"add element inet ssmonitor host-ip6 { fd01::2 }",
		"flush chain inet ssmonitor forward-ip6-in; flush chain inet ssmonitor forward-ip6-out; delete set inet ssmonitor host-ip6",
	} {
		nftCommand(t, broken)
		if findings, err := table.Verify(portList(2)); err != nil || len(findings) == 0 {
			t.Fatalf("%s: Verify found %q, %v", broken, findings, err)
		}
		install(t, table, portList(2))
		other := open(t, Options{})
		other.SetForwarding(forwarding)
		verifyNothing(t, other, portList(2))
		if got := nftCommand(t, "list table inet ssmonitor"); sorted(got) != sorted(listing) {
			t.Errorf("%s: the table was listed as\n%s\nand is, repaired,\n%s", broken, listing, got)
		}
	}
	nftCommand(t, "flush ruleset")
	nftCommand(t, listing)
	if got := nftCommand(t, "list table inet ssmonitor"); got != listing {
		t.Errorf("the table was listed as\n%s\nand is, loaded again,\n%s", listing, got)
	}
}

// A port that is detached is no longer counted at forward, so that its counters can
// be deleted.
func TestDetachRemovesTargets(t *testing.T) {
	for _, decided := range []bool{true, false} {
		inNamespace(t)
		table := open(t, Options{})
		table.SetForwarding(accounting.Forwarding{Known: true, Targets: containers()})
		install(t, table, portList(2))
		if !decided { // an agent that removes a port right after its start
			table = open(t, Options{})
		}
		removed := portList(1).Keys()
		if err := table.Detach(removed); err != nil {
			t.Fatal(err)
		}
		if err := table.Delete(removed); err != nil {
			t.Errorf("decided %t: %v", decided, err)
		}
		if got, want := targetsOf(t, table), containers()[3:]; !slices.Equal(got, want) {
			t.Errorf("decided %t: counted are %v, want %v", decided, got, want)
		}
		verifyNothing(t, table, portList(2)[1:])
	}
}

// The sets of the host's addresses come and go with the need for them.
func TestAddressesOfTheHost(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	for _, addresses := range [][]netip.Addr{addressesOfHost(), addressesOfHost()[:1], nil, addressesOfHost()[1:]} {
		for _, targets := range [][]accounting.Target{nil, containers()} {
			forwarding := accounting.Forwarding{Known: true, Targets: targets, Addresses: addresses}
			table.SetForwarding(forwarding)
			install(t, table, portList(2))
			other := open(t, Options{})
			other.SetForwarding(forwarding)
			verifyNothing(t, other, portList(2))
			verifyNothing(t, open(t, Options{}), portList(2))
			listing := nftCommand(t, "list table inet ssmonitor")
			for _, address := range addressesOfHost() {
				if got, want := strings.Contains(listing, address.String()), slices.Contains(addresses, address); got != want {
					t.Errorf("%v: address %s is there: %t, want %t", forwarding, address, got, want)
				}
			}
		}
	}
}

func TestAddressesThatDiffer(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.SetForwarding(accounting.Forwarding{Known: true, Targets: containers(), Addresses: addressesOfHost()[:1]})
	install(t, table, portList(2))
	other := open(t, Options{})
	other.SetForwarding(accounting.Forwarding{Known: true, Targets: containers(), Addresses: addressesOfHost()[1:2]})
	findings, err := other.Verify(portList(2))
	want := []string{
		"the sets of this host's addresses lack " + addressesOfHost()[1].String(),
		"the sets of this host's addresses have too many: " + addressesOfHost()[0].String(),
	}
	if err != nil || !slices.Equal(findings, want) {
		t.Errorf("got %q, %v, want %q", findings, err, want)
	}
}

// Ports that are added later need no look at what is counted at forward.
func TestAttachBesideTargets(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.SetForwarding(accounting.Forwarding{Known: true, Targets: containers()})
	install(t, table, portList(2))
	if err := table.Attach(portList(3)); err != nil {
		t.Errorf("Attach returned %v", err)
	}
	verifyNothing(t, open(t, Options{}), portList(3))
}

// More ports than one transaction adds, each with a target.
func TestTargetsOfManyPorts(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.additions = 8
	ports := portList(20)
	var targets []accounting.Target
	for _, port := range ports {
		targets = append(targets, target(accounting.UDP, netip.AddrPortFrom(netip.MustParseAddr("172.30.0.2"), port.Number).String(), port.Number))
	}
	table.SetForwarding(accounting.Forwarding{Known: true, Targets: targets})
	install(t, table, ports)
	verifyNothing(t, table, ports)
	if got := targetsOf(t, table); !slices.Equal(got, targets) {
		t.Errorf("counted are %v, want %v", got, targets)
	}
}
