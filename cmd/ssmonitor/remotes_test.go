package main

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/testkit"
)

func TestRemotesAreThoseOfThePort(t *testing.T) {
	testkit.NetworkNamespace(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for range 2 {
		conn, err := net.Dial("tcp4", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	socket := filepath.Join(t.TempDir(), "socket")
	agent, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = agent.Close() }()
	remotes := remotesOf(socket)
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	got, err := remotes(port)
	if want := []sockdiag.Remote{{Address: netip.MustParseAddr("127.0.0.1"), Connections: 2}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := remotes(port + 1); err != nil || len(got) != 0 {
		t.Errorf("of another port: %v, %v", got, err)
	}
}
