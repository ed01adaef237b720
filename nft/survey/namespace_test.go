package survey

import (
	"os/exec"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// iptables runs iptables-nft or ip6tables-nft in the test's namespace.
func iptables(tb testing.TB, command, arguments string) {
	tb.Helper()
	testkit.Require(tb, command)
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
