package nft

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

func TestInstallCountsBothWaysAndFamilies(t *testing.T) {
	for _, address := range []string{"127.0.0.1:20000", "[::1]:20000"} {
		t.Run(address, func(t *testing.T) {
			inNamespace(t)
			table := open(t, Options{})
			install(t, table, portList(3))
			sendUDP(t, address, 10, 100)
			readings := read(t, table)
			if len(readings) != 12 {
				t.Fatalf("got %d counters, want 12", len(readings))
			}
			header := uint64(20 + 8)
			if strings.HasPrefix(address, "[") {
				header = 40 + 8
			}
			// Nobody listens, so the socket gets ICMP errors, which some calls of
			// Write return instead of sending.
			in := readings[accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.In}].Count
			if in.Packets < 5 || in.Bytes != in.Packets*(100+header) {
				t.Errorf("in: got %+v, want 5 to 10 packets of %d bytes", in, 100+header)
			}
			out := readings[accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.Out}].Count
			if out != (accounting.Count{}) {
				t.Errorf("out: got %+v, want nothing", out)
			}
		})
	}
}

func TestInstallAgainChangesNothing(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(3))
	sendUDP(t, "127.0.0.1:20001", 3, 10)
	before := read(t, table)
	listing := nftCommand(t, "list ruleset")

	again := open(t, Options{})
	install(t, again, portList(3))
	after := read(t, again)
	if got := nftCommand(t, "list ruleset"); got != listing {
		t.Errorf("the ruleset changed from\n%s\nto\n%s", listing, got)
	}
	for key, reading := range before {
		if after[key] != reading {
			t.Errorf("%s: got %+v, want %+v as before", key, after[key], reading)
		}
	}
}

// sorted makes two listings comparable that differ in the order of elements.
func sorted(listing string) string {
	lines := strings.FieldsFunc(listing, func(r rune) bool { return strings.ContainsRune("\n,{}", r) })
	for i := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimSpace(lines[i]), "elements = ")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestLostTableIsFoundAndInstalled(t *testing.T) {
	for _, script := range []string{"delete table inet ssmonitor", "flush ruleset"} {
		inNamespace(t)
		table := open(t, Options{})
		ports := portList(2)
		install(t, table, ports)
		nftCommand(t, script)
		if err := table.Read(new(accounting.Sample)); !errors.Is(err, accounting.ErrNoTable) {
			t.Errorf("%s: Read: got %v, want ErrNoTable", script, err)
		}
		if findings, want := verify(t, table, ports), []string{"the table does not exist"}; !slices.Equal(findings, want) {
			t.Errorf("%s: Verify: got %q, want %q", script, findings, want)
		}
		install(t, table, ports)
		expectVerified(t, table, ports, script)
	}
}

func TestPortsAreDetachedThenDeleted(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(3))
	keys := portList(1).Keys()
	if err := table.Detach(keys); err != nil {
		t.Fatal(err)
	}
	sendUDP(t, "127.0.0.1:20000", 3, 10)
	readings := read(t, table)
	if got := readings[keys[2]]; len(readings) != 12 || got.Count.Packets != 0 {
		t.Errorf("after Detach: got %d counters and %+v for %s, want 12 counters and no packet", len(readings), got, keys[2])
	}
	for range 2 { // a missing element or counter is not an error
		if err := table.Detach(append(keys, accounting.Key{Port: 9, Protocol: accounting.TCP})); err != nil {
			t.Fatal(err)
		}
		if err := table.Delete(keys); err != nil {
			t.Fatal(err)
		}
	}
	if readings = read(t, table); len(readings) != 8 {
		t.Errorf("after Delete: got %d counters, want 8", len(readings))
	}
	if err := table.Delete(portList(2).Keys()); err == nil {
		t.Error("a counter that is in use was deleted")
	} else if want := "deleting counter tcp-20001-in"; !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %q", err, want)
	}
}

func TestForeignTableIsRefused(t *testing.T) {
	inNamespace(t)
	nftCommand(t, "table inet ssmonitor { comment \"somebody's\"; counter tcp-20000-in { packets 1 bytes 1; }; }")
	want := nftCommand(t, "list ruleset")
	table := open(t, Options{})
	var sample accounting.Sample
	_, verifyErr := table.Verify(portList(1))
	tests := []struct {
		name string
		err  error
	}{
		{"Install", table.Install(portList(1))},
		{"Read", table.Read(&sample)},
		{"Verify", verifyErr},
		{"Stop", table.Stop()},
		{"Remove", table.Remove()},
	}
	for _, test := range tests {
		if !errors.Is(test.err, ErrForeignTable) || !strings.Contains(test.err.Error(), "nft list table inet ssmonitor") {
			t.Errorf("%s: got %v, want ErrForeignTable", test.name, test.err)
		}
	}
	if got := nftCommand(t, "list ruleset"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableOfAnotherFamilyIsNotOurs(t *testing.T) {
	inNamespace(t)
	nftCommand(t, "table ip ssmonitor { set s { type ipv4_addr; }; chain c { type filter hook input priority 0; accept; }; }")
	table := open(t, Options{})
	install(t, table, portList(1))
	read(t, table)
	verifyNothing(t, table, portList(1))
}

func TestLoadedRulesetIsDistinguishedFromOurs(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	sendUDP(t, "127.0.0.1:20000", 3, 10)
	saved := nftCommand(t, "list ruleset")
	nftCommand(t, "flush ruleset\n"+saved)
	if got := nftCommand(t, "list ruleset"); sorted(got) != sorted(saved) {
		t.Errorf("after loading: got\n%s\nwant\n%s", got, saved)
	}
	var sample accounting.Sample
	if err := table.Read(&sample); !errors.Is(err, accounting.ErrRestored) || len(sample.Readings) != 8 {
		t.Fatalf("Read of a loaded table: got %d counters, %v, want 8, ErrRestored", len(sample.Readings), err)
	}
	install(t, table, portList(2))
	for key, reading := range read(t, table) {
		if reading.Count != (accounting.Count{}) {
			t.Errorf("%s of the new table: got %+v, want 0", key, reading.Count)
		}
	}
}

func TestRemove(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	if err := table.Remove(); !errors.Is(err, accounting.ErrNoTable) {
		t.Errorf("Remove without a table: got %v, want ErrNoTable", err)
	}
	install(t, table, portList(2))
	sendUDP(t, "127.0.0.1:20000", 3, 10)
	if err := table.Stop(); err != nil {
		t.Fatal(err)
	}
	before := read(t, table)
	sendUDP(t, "127.0.0.1:20000", 3, 10)
	if after := read(t, table); after[portList(1).Keys()[2]] != before[portList(1).Keys()[2]] {
		t.Error("the table still counts after Stop")
	}
	if err := table.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := nftCommand(t, "list ruleset"); got != "" {
		t.Errorf("after Remove: got\n%s\nwant an empty ruleset", got)
	}
	var sample accounting.Sample
	if err := table.Read(&sample); !errors.Is(err, accounting.ErrNoTable) {
		t.Errorf("Read after Remove: got %v, %d counters, want ErrNoTable", err, len(sample.Readings))
	}
}

// TestInstallEqualsNft compares what Install creates with the text of the same
// table as nft loads it.
func TestInstallEqualsNft(t *testing.T) {
	for _, test := range []struct {
		name      string
		hook      Hook
		forwarded accounting.Forwarding
	}{
		{"host", HookHost, accounting.Forwarding{}},
		{"container", HookContainer, accounting.Forwarding{}},
		{"published", HookHost, accounting.Forwarding{Known: true, Targets: containers()}},
		{"redirected", HookHost, accounting.Forwarding{Known: true, Targets: containers(), Addresses: addressesOfHost()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var text strings.Builder
			ports := portList(2)
			if err := WriteRuleset(&text, test.hook, ports, test.forwarded); err != nil {
				t.Fatal(err)
			}
			inNamespace(t)
			nftCommand(t, text.String())
			want := nftCommand(t, "list ruleset")
			nftCommand(t, "flush ruleset")
			table := open(t, Options{Hook: test.hook})
			table.SetForwarding(test.forwarded)
			install(t, table, ports)
			if got := nftCommand(t, "list ruleset"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			read(t, table)
			verifyNothing(t, table, ports)
		})
	}
}

func TestHookCanChange(t *testing.T) {
	inNamespace(t)
	install(t, open(t, Options{}), portList(2))
	container := open(t, Options{Hook: HookContainer})
	findings, err := container.Verify(portList(2))
	if err != nil || len(findings) == 0 {
		t.Fatalf("Verify with another hook: got %q, %v, want findings", findings, err)
	}
	install(t, container, portList(2))
	verifyNothing(t, container, portList(2))
}
