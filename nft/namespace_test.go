package nft

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// unmet ends a test that lacks what it needs: with CI=true that is a failure.
func unmet(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// inNamespace moves the test into a network namespace of its own, with lo up.
// The thread is never unlocked, so that it ends with the test and the namespace
// with it.
func inNamespace(tb testing.TB) {
	tb.Helper()
	if os.Getuid() != 0 {
		unmet(tb, "a network namespace needs root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		unmet(tb, "making a network namespace: %v", err)
	}
	setUp(tb, "lo")
}

// setUp does what `ip link set NAME up` does: the tests in a bare virtual
// machine have no ip.
func setUp(tb testing.TB, name string) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq(name)
	if err != nil {
		tb.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		tb.Fatalf("setting %s up: %v", name, err)
	}
}

// nftCommand runs nft in the test's namespace and returns what it prints.
func nftCommand(tb testing.TB, script string) string {
	tb.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		unmet(tb, "nft is missing: apt-get install nftables")
	}
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	output, err := command.CombinedOutput()
	if err != nil {
		tb.Fatalf("nft: %v\n%s\n%s", err, script, output)
	}
	return string(output)
}

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

// sendUDP sends count datagrams of size bytes to a port of loopback, from a
// socket that is in the test's namespace.
func sendUDP(tb testing.TB, address string, count, size int) {
	tb.Helper()
	connection, err := net.Dial("udp", address)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	for range count {
		_, _ = connection.Write(make([]byte, size)) // nobody listens: ECONNREFUSED now and then
	}
}
