package nft

import (
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// lateRequests are answered by a refusal and by a table.
func lateRequests() [][]byte {
	return [][]byte{
		request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, "missing") }),
		request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, TableName) }),
	}
}

// TestLateAnswersAreIgnored leaves the answer to an earlier request in the socket.
func TestLateAnswersAreIgnored(t *testing.T) {
	inNamespace(t)
	table, other, ports := open(t, Options{}), open(t, Options{}), portList(1)
	install(t, table, ports)
	for i, req := range lateRequests() {
		for _, operation := range []struct {
			name string
			run  func() error
		}{
			{"a lookup", func() error {
				generation, got, err := table.conn.getTable()
				if wantGeneration, want, otherErr := other.conn.getTable(); otherErr != nil || generation != wantGeneration || got != want {
					t.Errorf("after late answer %d: got %d, %+v, want %d, %+v", i, generation, got, wantGeneration, want)
				}
				return err
			}},
			{"a reading", func() error {
				if got := len(read(t, table)); got != 4*len(ports) {
					t.Errorf("after late answer %d: got %d counters, want %d", i, got, 4*len(ports))
				}
				return nil
			}},
			{"a batch", func() error {
				b := newBatch()
				b.createCounters(ports.Keys())
				return table.conn.commit(b)
			}},
			{"an installation", func() error {
				ports = portList(len(ports) + 1)
				return table.Install(ports)
			}},
		} {
			if _, err := table.conn.send(req); err != nil {
				t.Fatal(err)
			}
			if err := operation.run(); err != nil {
				t.Errorf("%s after late answer %d: %v", operation.name, i, err)
			}
		}
	}
}

// fillSocket leaves no room in the socket for an answer.
func fillSocket(t *testing.T, table *Table) {
	t.Helper()
	if err := unix.SetsockoptInt(table.conn.FD, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := table.conn.send(lateRequests()[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemovalAfterUnreadRefusals removes keys that were removed already, while the
// socket has no room for a refusal that would name them.
func TestRemovalAfterUnreadRefusals(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	table.SetForwarding(accounting.Forwarding{Known: true})
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
// socket can hold, at last one whose only refusal finds no room at all.
func TestRefusalsWithoutRoomAreAnError(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	if err := unix.SetsockoptInt(table.conn.FD, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	refusedWith := func(refusals int) {
		t.Helper()
		b := newBatch()
		for range refusals {
			b.deleteObject("missing", unix.NFT_OBJECT_COUNTER)
		}
		if err := table.conn.commit(b); err == nil {
			t.Errorf("a batch with %d refused messages succeeded", refusals)
		}
	}
	for _, refusals := range []int{1, 10, 5000} {
		refusedWith(refusals)
	}
	fillSocket(t, table)
	refusedWith(1)
	if got := len(read(t, table)); got != 4 {
		t.Errorf("afterwards: got %d counters, want 4", got)
	}
}
