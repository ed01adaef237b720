package nft

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// openOwned opens a table with an owner. Where the kernel can't keep one it
// tests what is to happen instead and returns nil.
func openOwned(t *testing.T) *Table {
	t.Helper()
	table, err := Open(Options{Own: OwnYes})
	supported := err == nil
	if !supported && !errors.Is(err, ErrOwnUnsupported) {
		t.Fatal(err)
	}
	// Where the kernel is a known one, neither answer is right by itself.
	if known := os.Getenv("SSMONITOR_KERNEL_HAS_PERSIST"); known != "" && supported != (known == "yes") {
		t.Fatalf("this kernel has persist: %s, yet opening an owned table says %v", known, err)
	}
	if !supported {
		testOwnUnsupported(t)
		return nil
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// testOwnUnsupported is what a kernel before 6.9 has to show instead.
func testOwnUnsupported(t *testing.T) {
	t.Helper()
	table := open(t, Options{Own: OwnAuto})
	install(t, table, portList(1))
	if mismatch, err := table.OwnerMismatch(); mismatch || err != nil {
		t.Errorf("a plain table where auto can have no other: %t, %v", mismatch, err)
	}
	nftCommand(t, "add counter inet ssmonitor others") // nobody owns it
	read(t, table)
}

func TestOwnedTableWithstandsOthers(t *testing.T) {
	inNamespace(t)
	table := openOwned(t)
	if table == nil {
		return
	}
	ports := portList(2)
	install(t, table, ports)
	sendUDP(t, "127.0.0.1:20000", 5, 10)
	before := read(t, table)
	nftCommand(t, "flush ruleset")
	if output, err := exec.Command("nft", "delete", "table", "inet", "ssmonitor").CombinedOutput(); err == nil {
		t.Errorf("another process deleted the table: %s", output)
	}
	other := open(t, Options{})
	if err := other.Install(portList(3)); !errors.Is(err, ErrOwned) {
		t.Errorf("installing from another process: %v", err)
	}
	if err := other.Remove(); !errors.Is(err, ErrOwned) {
		t.Errorf("removing from another process: %v", err)
	}
	after := read(t, table)
	key := accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.In}
	if after[key] != before[key] || before[key].Count.Packets == 0 {
		t.Errorf("%s was %+v and is %+v", key, before[key], after[key])
	}

	// The next agent adopts what the last one left, counts included.
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	next := openOwned(t)
	findings, err := next.Verify(ports)
	if err != nil || !strings.Contains(strings.Join(findings, ";"), "no owner") {
		t.Errorf("an orphan verifies as %q, %v", findings, err)
	}
	install(t, next, portList(3))
	nftCommand(t, "flush ruleset")
	if adopted := read(t, next); adopted[key] != before[key] || len(adopted) != 12 {
		t.Errorf("adopted with %d counters, %s is %+v", len(adopted), key, adopted[key])
	}
	if findings, err := next.Verify(portList(3)); err != nil || len(findings) > 0 {
		t.Errorf("an adopted table verifies as %q, %v", findings, err)
	}
}

func TestOwnerMismatch(t *testing.T) {
	inNamespace(t)
	owned := openOwned(t)
	if owned == nil {
		return
	}
	plain := open(t, Options{})
	install(t, plain, portList(1))
	if mismatch, err := owned.OwnerMismatch(); !mismatch || err != nil {
		t.Errorf("a plain table where an owned one is wanted: %t, %v", mismatch, err)
	}
	if err := plain.Remove(); err != nil {
		t.Fatal(err)
	}
	install(t, owned, portList(1))
	if mismatch, err := owned.OwnerMismatch(); mismatch || err != nil {
		t.Errorf("an owned table that is wanted so: %t, %v", mismatch, err)
	}
	if mismatch, err := plain.OwnerMismatch(); !mismatch || err != nil {
		t.Errorf("an owned table where a plain one is wanted: %t, %v", mismatch, err)
	}
}
