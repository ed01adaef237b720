package nft

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// openOwned opens a table with an owner. If the kernel can't keep one, it tests
// what must happen instead and returns nil.
func openOwned(t *testing.T) *Table {
	t.Helper()
	table, err := Open(Options{Own: OwnYes})
	supported := err == nil
	if !supported && !errors.Is(err, ErrOwnUnsupported) {
		t.Fatal(err)
	}
	// Where the test knows the kernel, it knows the right answer.
	if known := os.Getenv("SSMONITOR_KERNEL_HAS_PERSIST"); known != "" && supported != (known == "yes") {
		t.Fatalf("Open of an owned table: got %v on a kernel with persist: %s", err, known)
	}
	if !supported {
		testOwnUnsupported(t)
		return nil
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// testOwnUnsupported tests that OwnAuto creates a plain table on kernels before
// 6.9.
func testOwnUnsupported(t *testing.T) {
	t.Helper()
	table := open(t, Options{Own: OwnAuto})
	install(t, table, portList(1))
	if mismatch, err := table.OwnerMismatch(); mismatch || err != nil {
		t.Errorf("OwnerMismatch of a plain table with OwnAuto: got %t, %v, want false", mismatch, err)
	}
	nftCommand(t, "add counter inet ssmonitor others") // succeeds: nobody owns the table
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
		t.Errorf("Install from another process: got %v, want ErrOwned", err)
	}
	if err := other.Remove(); !errors.Is(err, ErrOwned) {
		t.Errorf("Remove from another process: got %v, want ErrOwned", err)
	}
	after := read(t, table)
	key := accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.In}
	if after[key] != before[key] || before[key].Count.Packets == 0 {
		t.Errorf("%s: got %+v, want %+v as before", key, after[key], before[key])
	}

	// The next agent adopts the orphaned table, counts included.
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	next := openOwned(t)
	findings, err := next.Verify(ports)
	if err != nil || !strings.Contains(strings.Join(findings, ";"), "no owner") {
		t.Errorf("Verify of an orphan: got %q, %v, want \"no owner\"", findings, err)
	}
	install(t, next, portList(3))
	nftCommand(t, "flush ruleset")
	if adopted := read(t, next); adopted[key] != before[key] || len(adopted) != 12 {
		t.Errorf("after the adoption: got %d counters and %+v for %s, want 12 and %+v", len(adopted), adopted[key], key, before[key])
	}
	verifyNothing(t, next, portList(3))
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
		t.Errorf("plain table, owned one wanted: got %t, %v, want true", mismatch, err)
	}
	if err := plain.Remove(); err != nil {
		t.Fatal(err)
	}
	install(t, owned, portList(1))
	if mismatch, err := owned.OwnerMismatch(); mismatch || err != nil {
		t.Errorf("owned table, owned one wanted: got %t, %v, want false", mismatch, err)
	}
	if mismatch, err := plain.OwnerMismatch(); !mismatch || err != nil {
		t.Errorf("owned table, plain one wanted: got %t, %v, want true", mismatch, err)
	}
}
