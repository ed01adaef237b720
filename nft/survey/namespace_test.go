package survey

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

// unmet ends a test that lacks what it needs: a failure with CI=true, else a
// skip.
func unmet(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// inNamespace moves the test into a network namespace of its own. The thread is
// never unlocked, so it ends with the test, and the namespace with it.
func inNamespace(tb testing.TB) {
	tb.Helper()
	if os.Getuid() != 0 {
		unmet(tb, "a network namespace needs root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		unmet(tb, "creating a network namespace: %v", err)
	}
}

// dropCapabilities takes every capability from the test's locked thread.
func dropCapabilities(tb testing.TB) {
	tb.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		tb.Fatalf("dropping capabilities: %v", err)
	}
}

// nftCommand runs nft in the test's namespace and returns its output.
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

// iptables runs iptables-nft or ip6tables-nft in the test's namespace.
func iptables(tb testing.TB, command, arguments string) {
	tb.Helper()
	if _, err := exec.LookPath(command); err != nil {
		unmet(tb, "%s is missing: apt-get install iptables", command)
	}
	if output, err := exec.Command(command, strings.Fields(arguments)...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %s: %v\n%s", command, arguments, err, output)
	}
}

// install installs ssmonitor's own table for one port.
func install(tb testing.TB, hook nft.Hook) {
	tb.Helper()
	table, err := nft.Open(nft.Options{Hook: hook})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	if err := table.Install(accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP}}); err != nil {
		tb.Fatal(err)
	}
}
