package nft

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// TestStructureKeepsElementsOfOthers rebuilds the whole structure, as after a
// refused repair, while another process has attached a port that is not listed.
func TestStructureKeepsElementsOfOthers(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	nftCommand(t, "flush chain inet ssmonitor input")
	found, err := table.inspect()
	if err != nil {
		t.Fatal(err)
	}
	p := table.plan(found, portList(1).Keys(), repairStructure)
	if err := table.commitTo(found.table, p.batch); err != nil {
		t.Fatal(err)
	}
	before := read(t, table)[udpIn20001]
	sendUDP(t, "127.0.0.1:20001", 3, 10)
	if after := read(t, table)[udpIn20001]; after.Count == before.Count {
		t.Errorf("%s: got %+v, want it to count", udpIn20001, after)
	}
}

func TestCounterWithoutAHandleIsNone(t *testing.T) {
	payload := func(handle bool) []byte {
		e := &encoder{}
		e.str(unix.NFTA_OBJ_NAME, "tcp-20000-in")
		e.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		data := e.nest(unix.NFTA_OBJ_DATA)
		e.bytes(unix.NFTA_COUNTER_BYTES, make([]byte, 8))
		e.bytes(unix.NFTA_COUNTER_PACKETS, make([]byte, 8))
		e.endNest(data)
		if handle {
			e.bytes(attrObjHandle, make([]byte, 8))
		}
		return e.buffer
	}
	for _, handle := range []bool{true, false} {
		if _, ok := decodeCounter(payload(handle)); ok != handle {
			t.Errorf("with a handle %t: got ok %t", handle, ok)
		}
	}
}

func TestForeignTableHasNoOwnerMismatch(t *testing.T) {
	inNamespace(t)
	owned := openOwned(t)
	if owned == nil {
		return
	}
	nftCommand(t, "add table inet ssmonitor { comment \"somebody's\"; }")
	if mismatch, err := owned.OwnerMismatch(); mismatch || err != nil {
		t.Errorf("got %t, %v, want false", mismatch, err)
	}
	var sample accounting.Sample
	if err := owned.Read(&sample); !errors.Is(err, ErrForeignTable) {
		t.Errorf("Read: got %v, want ErrForeignTable", err)
	}
}
