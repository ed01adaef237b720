package main

import (
	"net"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestCheckOfListeners has servers for some of the ports: none, one on loopback, one that
// a rule hands on to a container.
func TestCheckOfListeners(t *testing.T) {
	p := newPlace(t)
	p.configure(`{"port_password": {"20000": "secret", "20001": "secret", "20002": "secret", "20003": "secret"}}`)
	p.setup()
	for _, address := range []string{":20001", "127.0.0.1:20002"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
	}
	testkit.NFT(t, "table ip nat { chain c { type nat hook prerouting priority dstnat; tcp dport 20003 dnat to 172.17.0.2:8388; }; }")
	want := []string{
		"note    port 20000: no program of this host listens there: it stays at 0",
		"          start the server\n          or, if the port is left over from an earlier one, remove it from " + p.config + ", then ssmonitor setup\n",
		"note    port 20002: a server listens there at a loopback address only",
	}
	output := p.wantCheck(p.socket, exitFailed, want) // no agent runs
	for _, port := range []string{"20001", "20003"} {
		wantNoPart(t, output, "note    port "+port+": ")
	}
	p.wantCheck(p.socket, exitFailed, []string{`"id": "port-not-listening"`, `"subject": "20000"`}, "--json")
	wantNoPart(t, p.wantCheck(p.socket, exitNagiosCritical, []string{" note="}, "--nagios"), "listens there")
}
