package nft

import (
	"net"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// nftCommand runs nft in the test's namespace and returns what it prints.
func nftCommand(tb testing.TB, script string) string { tb.Helper(); return testkit.NFT(tb, script) }

// inNamespace moves the test into a network namespace of its own.
func inNamespace(tb testing.TB) { tb.Helper(); testkit.NetworkNamespace(tb) }

func open(tb testing.TB, options Options) *Table {
	tb.Helper()
	table, err := Open(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = table.Close() })
	return table
}

// portList returns n ports from 20000 on, counted for both protocols.
func portList(n int) accounting.Ports {
	ports := make(accounting.Ports, n)
	for i := range ports {
		ports[i] = accounting.Port{Number: uint16(1 + (19999+i)%65535), Protocols: accounting.TCPAndUDP}
	}
	ports, _ = accounting.Union(ports)
	return ports
}

func install(tb testing.TB, table *Table, ports accounting.Ports) {
	tb.Helper()
	if err := table.Install(ports); err != nil {
		tb.Fatalf("installing %d ports: %v", len(ports), err)
	}
}

// beforeMessage has a change made before the message with the index. sends counts the
// messages from now on.
func beforeMessage(table *Table, index int, sends *int, change func()) {
	*sends = 0
	table.conn.beforeSend = func() {
		if *sends == index {
			change()
		}
		*sends++
	}
}

func read(tb testing.TB, table *Table) map[accounting.Key]accounting.Reading {
	tb.Helper()
	var sample accounting.Sample
	if err := table.Read(&sample); err != nil {
		tb.Fatalf("reading: %v", err)
	}
	readings := make(map[accounting.Key]accounting.Reading)
	for _, reading := range sample.Readings {
		if _, twice := readings[reading.Key]; twice {
			tb.Errorf("%s was read twice", reading.Key)
		}
		readings[reading.Key] = reading
	}
	return readings
}

// sendUDP sends count datagrams of size bytes to an address on loopback, from a
// socket in the test's namespace, and waits until they have arrived: a busy kernel
// delivers over loopback later.
func sendUDP(tb testing.TB, address string, count, size int) {
	tb.Helper()
	receiver, err := net.ListenPacket("udp", address)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = receiver.Close() }()
	connection, err := net.Dial("udp", address)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if err := receiver.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	for range count {
		if _, err := connection.Write(make([]byte, size)); err != nil {
			tb.Fatal(err)
		}
		if _, _, err := receiver.ReadFrom(make([]byte, size)); err != nil {
			tb.Fatalf("a datagram to %s has not arrived: %v", address, err)
		}
	}
}
