package store

import (
	"testing"

	"ssmonitor/accounting"
)

// TestProgress expects a sign of life for each port that gets a name.
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
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
