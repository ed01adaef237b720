package nft

import (
	"testing"

	"ssmonitor/accounting"
)

func TestSupportChangesNothing(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	before, _, err := table.conn.getTable()
	if err != nil {
		t.Fatal(err)
	}
	support, err := table.Support()
	if err != nil {
		t.Fatal(err)
	}
	if after, _, err := table.conn.getTable(); err != nil || after != before {
		t.Errorf("got generation %d, %v, want %d as before", after, err, before)
	}
	if !support.ObjectMaps {
		t.Error("got ObjectMaps false on a kernel that counts")
	}
	owned, err := Open(Options{Own: OwnYes})
	if err == nil {
		defer func() { _ = owned.Close() }()
	}
	if support.OwnedTables != (err == nil) {
		t.Errorf("got OwnedTables %t, but opening one returns %v", support.OwnedTables, err)
	}
}

func TestWouldNotAccept(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	accepted, err := table.conn.wouldAccept(func(b *batch) {
		b.createTable(accounting.Epoch{}, 1<<31)
	})
	if accepted || err == nil {
		t.Errorf("unknown flags: got %t, %v, want a refusal", accepted, err)
	}
}
