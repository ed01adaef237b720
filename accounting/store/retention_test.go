package store

import (
	"errors"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// TestCommandsDeleteNoUsage saves usage that is older than the agent keeps it, without
// a retention time.
func TestCommandsDeleteNoUsage(t *testing.T) {
	directory := t.TempDir()
	options := Options{Holder: "test"}
	key := accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.In}
	var bytes uint64
	save := func(now time.Time) {
		t.Helper()
		options.Now = func() time.Time { return now }
		ledger, _, _, err := Open(directory, options)
		if err != nil {
			t.Fatal(err)
		}
		bytes += 100
		total := accounting.Count{Packets: bytes / 100, Bytes: bytes}
		if err := errors.Join(ledger.Save(accounting.State{Accounts: []accounting.Account{{Key: key, Total: total, Last: total, Handle: 1}}}), ledger.Close()); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for _, ago := range []int{10 * 365, 10*365 - 1, 0, 0} {
		save(now.AddDate(0, 0, -ago))
	}
	for by, want := range map[usage.Period]int{usage.ByHour: 3, usage.ByDay: 3} {
		records, err := Usage(t.Context(), directory, usage.Query{By: by})
		if err != nil || len(records.Rows) != want {
			t.Errorf("by %s: got %d rows, %v, want %d", by, len(records.Rows), err, want)
		}
	}
}
