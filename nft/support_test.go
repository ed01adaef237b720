package nft

import (
	"testing"

	"ssmonitor/accounting"
)

func TestSupportChangesNothing(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	_, before, err := table.conn.getTable()
	if err != nil {
		t.Fatal(err)
	}
	support, err := table.Support()
	if err != nil {
		t.Fatal(err)
	}
	if _, after, err := table.conn.getTable(); err != nil || after != before {
		t.Errorf("the ruleset's generation was %d and is %d, %v", before, after, err)
	}
	if !support.References {
		t.Error("this kernel has no reference to counters, though it counts")
	}
	owned, err := Open(Options{Own: OwnYes})
	if err == nil {
		defer func() { _ = owned.Close() }()
	}
	if support.OwnedTables != (err == nil) {
		t.Errorf("owned tables: %t, opening one says %v", support.OwnedTables, err)
	}
}

func TestWouldNotAccept(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	accepted, err := table.conn.wouldAccept(func(b *batch, name string) {
		b.makeTable(name, accounting.Epoch{}, 1<<31)
	})
	if accepted || err == nil {
		t.Errorf("unknown flags were accepted: %t, %v", accepted, err)
	}
}
