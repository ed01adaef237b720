package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// usualLimit is net.core.wmem_max and net.core.rmem_max unless somebody has changed
// them.
const usualLimit = 212_992

// inUserNamespace runs the test again as root of user and network namespaces of its
// own, which is what an unprivileged container is. It reports whether this is there.
func inUserNamespace(t *testing.T) bool {
	t.Helper()
	const variable = "SSMONITOR_TEST_USER_NAMESPACE"
	if os.Getenv(variable) == t.Name() {
		testkit.SetLinkUp(t, "lo")
		return true
	}
	testkit.RequireRoot(t, "a network namespace")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	short := fmt.Sprintf("-test.short=%t", testing.Short())
	again := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", short)
	again.Env = append(os.Environ(), variable+"="+t.Name())
	identity := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: identity, GidMappings: identity,
		Pdeathsig: syscall.SIGKILL,
	}
	output, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Errorf("in a user namespace: %v\n%s", err, output)
	}
	t.Logf("%s", output)
	return false
}

// openUnprivileged opens a table with the buffers that a container gets where
// net.core.wmem_max is limit: on this host it may be higher.
func openUnprivileged(t *testing.T, limit int) *Table {
	t.Helper()
	table := open(t, Options{})
	if err := unix.SetsockoptInt(table.conn.FD, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20); !errors.Is(err, unix.EPERM) {
		t.Fatalf("SO_SNDBUFFORCE: got %v, want EPERM", err)
	}
	if err := unix.SetsockoptInt(table.conn.FD, unix.SOL_SOCKET, unix.SO_RCVBUF, usualLimit); err != nil {
		t.Fatal(err)
	}
	table.conn.room, table.conn.sendLimit = 0, limit
	var err error
	if table.additions, err = table.conn.additionsThatFit(); err != nil {
		t.Fatal(err)
	}
	if table.conn.room != 2*limit-sendOverhead {
		t.Fatalf("the socket takes %d bytes, want twice the limit", table.conn.room)
	}
	return table
}

// expectCounted sends a datagram to each of the ports and expects them to be counted.
func expectCounted(t *testing.T, table *Table, ports ...accounting.Port) {
	t.Helper()
	before := read(t, table)
	sent := make(map[accounting.Key]uint64)
	for _, port := range ports {
		sent[accounting.Key{Port: port.Number, Protocol: accounting.UDP, Direction: accounting.In}]++
		sendUDP(t, fmt.Sprintf("127.0.0.1:%d", port.Number), 1, 10)
	}
	after := read(t, table)
	for key, want := range sent {
		if got := after[key].Count.Packets - before[key].Count.Packets; got != want {
			t.Errorf("%s: counted %d packets, want %d", key, got, want)
		}
	}
}

func TestUnprivilegedContainer(t *testing.T) {
	if !inUserNamespace(t) {
		return
	}
	tests := []struct{ count, limit int }{{2, usualLimit}, {2_000, 20_000}, {4_000, usualLimit}, {65_535, usualLimit}}
	if testing.Short() {
		tests = tests[:3]
	}
	for _, test := range tests {
		count := test.count
		ports := portList(count)
		installed, attached := ports[:count/2], ports[count/2:]
		table := openUnprivileged(t, test.limit)
		install(t, table, installed)
		expectCounted(t, table, installed[0], installed[len(installed)-1])
		if err := table.Attach(attached); err != nil {
			t.Fatalf("attaching %d ports: %v", len(attached), err)
		}
		expectVerified(t, table, ports, "Attach")
		expectCounted(t, table, attached[0], attached[len(attached)-1])
		if got := read(t, table); len(got) != 4*count {
			t.Errorf("got %d counters, want %d", len(got), 4*count)
		}
		if err := errors.Join(table.Detach(ports.Keys()), table.Delete(ports.Keys())); err != nil {
			t.Fatalf("removing %d ports: %v", count, err)
		}
		if got := read(t, table); len(got) != 0 {
			t.Errorf("after the removal of %d ports: got %d counters, want none", count, len(got))
		}
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnprivilegedRepairs repairs a table of which not even the elements fit into one
// transaction. Counts are kept, also of a port that another process has attached.
func TestUnprivilegedRepairs(t *testing.T) {
	if !inUserNamespace(t) {
		return
	}
	const count = 5_000
	table := openUnprivileged(t, usualLimit)
	ports := portList(count)
	install(t, table, portList(count+1))
	ends := []accounting.Port{ports[0], ports[count-1], {Number: ports[count-1].Number + 1, Protocols: accounting.TCPAndUDP}}
	expectCounted(t, table, ends...)
	before := read(t, table)
	expectRepaired := func() {
		t.Helper()
		expectSameCounters(t, read(t, table), before)
		expectCounting(t, ports)
		expectCounted(t, table, ends...)
		before = read(t, table)
	}

	nftCommand(t, "flush chain inet ssmonitor input")
	found, err := table.inspect()
	if err != nil {
		t.Fatal(err)
	}
	if err := table.apply(found, ports, repairStructure); err != nil {
		t.Fatalf("replacing the structure: %v", err)
	}
	expectRepaired()

	// The messages that remove 6,000 wrong elements take more than the socket does.
	for part := range 12 {
		var elements strings.Builder
		for i := range 500 {
			fmt.Fprintf(&elements, "tcp . %d : \"tcp-20000-in\",", 30_000+500*part+i)
		}
		nftCommand(t, "add element inet ssmonitor ports-in {"+elements.String()+"}")
	}
	install(t, table, portList(count+1))
	expectRepaired()
}

// TestUnprivilegedRepairThatIsTooLarge has others put more objects into the table than
// one transaction can remove.
func TestUnprivilegedRepairThatIsTooLarge(t *testing.T) {
	if !inUserNamespace(t) {
		return
	}
	table := openUnprivileged(t, usualLimit)
	ports := portList(2)
	install(t, table, ports)
	expectCounted(t, table, ports...)
	before := read(t, table)
	for part := range 4 {
		var script strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&script, "add counter inet ssmonitor other-%d-%d\n", part, i)
		}
		nftCommand(t, script.String())
	}
	err := table.Install(ports)
	if !errors.Is(err, unix.EMSGSIZE) || !strings.Contains(err.Error(), "net.core.wmem_max") {
		t.Errorf("got %v, want EMSGSIZE and a remedy", err)
	}
	t.Log(err)
	expectSameCounters(t, read(t, table), before)
	expectCounted(t, table, ports...)
}

// TestUnprivilegedTargets counts the targets of many ports at forward: with new ports,
// with ports that are counted already, and until they are detached.
func TestUnprivilegedTargets(t *testing.T) {
	if !inUserNamespace(t) {
		return
	}
	const count = 1_500
	ports := portList(count)
	targets := make([]accounting.Target, 0, 4*count)
	for _, port := range ports {
		for _, address := range []string{"172.30.0.2:0", "[fd30::2]:0"} {
			addrPort := netip.AddrPortFrom(netip.MustParseAddrPort(address).Addr(), port.Number)
			for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
				targets = append(targets, accounting.Target{Protocol: protocol, Address: addrPort, Port: port.Number})
			}
		}
	}
	for _, step := range []struct {
		name     string
		existing bool
	}{{"of new ports", false}, {"of counted ports", true}} {
		table := openUnprivileged(t, usualLimit)
		if step.existing {
			table.SetForwarding(accounting.Forwarding{Known: true, Targets: nil})
			install(t, table, ports)
		}
		expect := func(want int) {
			t.Helper()
			if got := len(targetsOf(t, table)); got != want {
				t.Errorf("%s: %d targets are counted, want %d", step.name, got, want)
			}
		}
		table.SetForwarding(accounting.Forwarding{Known: true, Targets: targets})
		install(t, table, ports)
		expect(4 * count)
		verifyNothing(t, table, ports)
		expectCounted(t, table, ports[0], ports[count-1])
		if err := table.Detach(ports[1:].Keys()); err != nil {
			t.Fatalf("%s: detaching: %v", step.name, err)
		}
		expect(4)
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}
