package agent

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// TestRetireKeepsWhatIsNotSaved retires a table whose counters can't be saved.
func TestRetireKeepsWhatIsNotSaved(t *testing.T) {
	testkit.NetworkNamespace(t)
	table := openTable(t, accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP})
	meter := accounting.NewMeter(accounting.MeterOptions{Table: table, Store: refusing{}, Log: newLog(io.Discard)})
	if err := Retire(table, meter); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, syscall.ENOSPC)
	}
	var sample accounting.Sample
	if err := table.Read(&sample); err != nil || len(sample.Readings) == 0 {
		t.Errorf("the counters are gone: %v", err)
	}
}
