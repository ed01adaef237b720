package main

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// TestReservedPortsAreNotBooked begins connections from a host whose counted ports
// are among those that the kernel chooses local ports from. setup and check name
// the setting that keeps the kernel from that.
func TestReservedPortsAreNotBooked(t *testing.T) {
	const counted, chosen = "40000-40999", "40000\t41999"
	p := newPlace(t)
	writeSetting(t, "net.ipv4.ip_local_port_range", chosen)
	writeSetting(t, "net.ipv4.ip_local_reserved_ports", "41990-41999")
	arguments := []string{"--no-search", "--port", counted, "--list", p.list}
	_, _, stderr := call(t, append([]string{"setup"}, arguments...)...)
	wantParts(t, stderr, "note: ports 40000-40999: ", "/etc/sysctl.d/60-ssmonitor.conf")
	_, findings, _ := call(t, append([]string{"check"}, arguments...)...)
	wantParts(t, findings, "note    ports 40000-40999: ")

	table := p.table()
	booked := func() (bytes uint64) {
		var sample accounting.Sample
		if err := table.Read(&sample); err != nil {
			t.Fatal(err)
		}
		for _, reading := range sample.Readings {
			bytes += reading.Count.Bytes
		}
		return bytes
	}
	if beginConnections(t); booked() == 0 {
		t.Fatal("no connection began from a counted port")
	}
	remedy := regexp.MustCompile(`sysctl -w (\S+)=([0-9,-]+)`)
	for from, text := range map[string]string{"setup": stderr, "check": findings} {
		match := remedy.FindStringSubmatch(text)
		if match == nil || match[2] != "40000-40999,41990-41999" {
			t.Fatalf("%s names no setting in\n%s", from, text)
		}
		writeSetting(t, match[1], match[2])
	}
	before := booked()
	beginConnections(t)
	if more := booked() - before; more != 0 {
		t.Errorf("%d bytes of connections that the host began are booked to clients", more)
	}
	_, _, stderr = call(t, append([]string{"setup"}, arguments...)...)
	_, findings, _ = call(t, append([]string{"check"}, arguments...)...)
	if strings.Contains(stderr+findings, "ip_local_reserved_ports") {
		t.Errorf("reserved ports are still named:\n%s%s", stderr, findings)
	}
}

// writeSetting sets a setting of the kernel in the network namespace of the test.
func writeSetting(t *testing.T, name, value string) {
	t.Helper()
	testkit.WriteFile(t, "/proc/sys/"+strings.ReplaceAll(name, ".", "/"), value)
}

// beginConnections sends and receives datagrams over 300 connections to a port that
// is not counted. The sockets stay in the test's thread, and so in its namespace.
func beginConnections(t *testing.T) {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	datagram := make([]byte, 1200)
	for range 300 {
		client, err := net.Dial("udp4", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, sent := client.Write(datagram)
		_, from, received := server.ReadFrom(datagram)
		_, answered := server.WriteTo(datagram, from)
		_, returned := client.Read(datagram)
		if err := errors.Join(sent, received, answered, returned, client.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
