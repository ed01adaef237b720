package nft

import (
	"testing"

	"ssmonitor/accounting"
)

// TestProgress expects a sign of life in each transaction of a change, and in each message
// of an inspection or a reading.
func TestProgress(t *testing.T) {
	inNamespace(t)
	calls := 0
	table := open(t, Options{Progress: func() { calls++ }})
	table.additions = 10
	ports := portList(100) // 400 counters
	expect := func(what string, least int, change func() error) {
		t.Helper()
		calls = 0
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if calls < least {
			t.Errorf("%s: got %d signs of life, want at least %d", what, calls, least)
		}
	}
	expect("installing", 40, func() error { return table.Install(ports) })
	table.known.noLongerRight()
	expect("verifying", 8, func() error { _, err := table.Verify(ports); return err })
	var sample accounting.Sample
	read := func() error { return table.Read(&sample) }
	expect("reading", 400, read)
	table.reader.dumpLimit = 1
	expect("reading one by one", 400, read)
	expect("detaching", 40, func() error { return table.Detach(ports.Keys()) })
	expect("deleting", 40, func() error { return table.Delete(ports.Keys()) })
}
