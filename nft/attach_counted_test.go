package nft

import (
	"errors"
	"testing"

	"ssmonitor/accounting"
)

// TestAttachOfACountedPort attaches a port that another process had installed
// before the table was verified, as setup may do between two steps of the agent.
// Changes of others after that must not go unnoticed.
func TestAttachOfACountedPort(t *testing.T) {
	inNamespace(t)
	table, both := open(t, Options{}), portList(2)
	install(t, open(t, Options{}), both)
	read(t, table)
	verifyNothing(t, table, both[:1])
	if err := table.Attach(both[1:]); !errors.Is(err, accounting.ErrChanged) {
		t.Errorf("Attach of a counted port: got %v, want ErrChanged", err)
	}
	install(t, table, both)
	expectVerified(t, table, both, "Install of a counted port")
	nftCommand(t, "flush chain inet ssmonitor input")
	read(t, table)
	if findings := verify(t, table, both); len(findings) != 1 {
		t.Errorf("after a flush by others: got %q, want one finding", findings)
	}
}
