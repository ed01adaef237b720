package store

import (
	"testing"

	"ssmonitor/accounting"
)

// TestProgress expects a sign of life for each port that gets a name, and many from a
// statement that takes long.
func TestProgress(t *testing.T) {
	calls := 0
	s, _, _, err := Open(t.TempDir(), Options{Holder: "test", Progress: func() { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	var ports accounting.Ports
	for number := range uint16(100) {
		ports = append(ports, accounting.Port{Number: number + 1, Protocols: accounting.TCPAndUDP, Name: "alice"})
	}
	s.ResolveNames(ports)
	if calls < len(ports) {
		t.Errorf("got %d signs of life for the names, want at least %d", calls, len(ports))
	}
	calls = 0
	const long = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select count(*) from n"
	if _, err := s.db.value(long); err != nil || calls < 100 {
		t.Errorf("got %d signs of life from a long statement, want at least 100 (%v)", calls, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
