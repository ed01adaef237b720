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
