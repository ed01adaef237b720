package nft

import (
	"testing"

	"golang.org/x/sys/unix"
)

// lateRequests are answered by a refusal and by a table.
func lateRequests() [][]byte {
	return [][]byte{
		request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, "missing") }),
		request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, TableName) }),
	}
}

// TestLateAnswersAreNotForSingleRequests leaves the answer to an earlier request
// in the socket.
func TestLateAnswersAreNotForSingleRequests(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	generation, want, err := table.conn.getTable()
	if err != nil {
		t.Fatal(err)
	}
	for i, req := range lateRequests() {
		if _, err := table.conn.send(req); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if gen, got, err := table.conn.getTable(); gen != generation || got != want || err != nil {
				t.Errorf("after late answer %d: got %d, %+v, %v, want %d, %+v", i, gen, got, err, generation, want)
			}
		}
	}
}

// TestLateAnswersAreNotForBatches does the same before a change.
func TestLateAnswersAreNotForBatches(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	for i, req := range lateRequests() {
		if _, err := table.conn.send(req); err != nil {
			t.Fatal(err)
		}
		b := newBatch()
		b.createCounters(portList(2).Keys())
		if err := table.conn.commit(b); err != nil {
			t.Errorf("after late answer %d: %v", i, err)
		}
	}
}

// fillSocket leaves no room in the socket for an answer.
func fillSocket(t *testing.T, table *Table) {
	t.Helper()
	if err := unix.SetsockoptInt(table.conn.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := table.conn.send(lateRequests()[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnreadRefusalsAreAnError sends a batch whose refusal finds no room at all.
func TestUnreadRefusalsAreAnError(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	fillSocket(t, table)
	b := newBatch()
	b.deleteObject("missing", unix.NFT_OBJECT_COUNTER)
	if err := table.conn.commit(b); err == nil {
		t.Error("a batch with a refused message succeeded")
	}
}

// TestRemovalAfterUnreadRefusals removes keys that were removed already, while the
// socket has no room for a refusal that would name them.
func TestRemovalAfterUnreadRefusals(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.SetTargets(nil)
	install(t, table, portList(2))
	keys := portList(1).Keys()
	for range 2 {
		fillSocket(t, table)
		if err := table.Detach(keys); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		fillSocket(t, table)
		if err := table.Delete(keys); err != nil {
			t.Error(err)
		}
	}
	if got := len(read(t, table)); got != 4 {
		t.Errorf("%d counters are left, want those of the other port", got)
	}
}

// TestRefusalsWithoutRoomAreAnError sends a batch with more refusals than the
// socket can hold.
func TestRefusalsWithoutRoomAreAnError(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	if err := unix.SetsockoptInt(table.conn.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	for _, refusals := range []int{1, 10, 5000} {
		b := newBatch()
		for range refusals {
			b.deleteObject("missing", unix.NFT_OBJECT_COUNTER)
		}
		if err := table.conn.commit(b); err == nil {
			t.Errorf("a batch with %d refused messages succeeded", refusals)
		}
	}
	if got := len(read(t, table)); got != 4 {
		t.Errorf("afterwards: got %d counters, want 4", got)
	}
}

// TestLateAnswersAreIgnored leaves answers of an earlier request in the socket.
func TestLateAnswersAreIgnored(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(1)
	install(t, table, ports)
	late := [][]byte{
		request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, "missing") }),
		request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, TableName) }),
	}
	for _, req := range late {
		if _, err := table.conn.send(req); err != nil {
			t.Fatal(err)
		}
		if got := len(read(t, table)); got != 4*len(ports) {
			t.Errorf("got %d counters, want %d", got, 4*len(ports))
		}
		if _, err := table.conn.send(req); err != nil {
			t.Fatal(err)
		}
		ports = portList(len(ports) + 1)
		if err := table.Install(ports); err != nil {
			t.Errorf("installing: %v", err)
		}
	}
}
