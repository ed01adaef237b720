package nft

import (
	"errors"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// TestInstallInParts installs more ports than one transaction adds, and has
// another process change the table before each message.
func TestInstallInParts(t *testing.T) {
	const additions = 8
	ports := portList(2*additions/4 + 1)
	for _, test := range []struct{ name, before, script string }{
		{"new", "", ""},
		{"new, removed meanwhile", "", "delete table inet ssmonitor"},
		{"new, damaged meanwhile", "", "flush map inet ssmonitor ports-out"},
		{"more", "ours", ""},
		{"more, removed meanwhile", "ours", "delete table inet ssmonitor"},
		{"loaded", "loaded", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t)
			for step := range 20 {
				table, other := open(t, Options{}), open(t, Options{})
				table.additions = additions
				table.conn.room = 0
				if test.before != "" {
					install(t, other, ports[1:3])
				}
				if test.before == "loaded" {
					install(t, other, ports)
					nftCommand(t, "flush ruleset\n"+nftCommand(t, "list ruleset"))
				}
				sends, changed := 0, false
				table.conn.beforeSend = func() {
					if sends == step && test.script != "" {
						if _, found, err := other.conn.getTable(); err != nil {
							t.Fatal(err)
						} else if found.exists() {
							nftCommand(t, test.script)
							changed = true
						}
					}
					sends++
				}
				if err := table.Install(ports); err != nil {
					t.Fatalf("changed before message %d: %v", step, err)
				}
				table.conn.beforeSend = nil
				// The kernel gives twice what makeRoom requests.
				if size := (table.conn.room+sendOverhead)/2 - sendOverhead; size > additions*bytesPerKey+1500 && !changed {
					t.Errorf("the largest transaction has %d bytes", size)
				}
				if got := len(read(t, table)); got != 4*len(ports) && !changed {
					t.Errorf("got %d counters, want %d", got, 4*len(ports))
				}
				if findings := verify(t, table, ports); len(findings) == 0 {
					expectCounting(t, ports)
				} else if !changed {
					t.Errorf("got %q, want nothing", findings)
				}
				if err := other.Remove(); err != nil && !errors.Is(err, accounting.ErrNoTable) {
					t.Fatal(err)
				}
				if test.script == "" {
					return
				}
			}
		})
	}
}

// TestInstallInPartsLeavesAForeignTable puts a table of somebody else, with maps
// like ours, in the place of ours before each message of an installation in turn.
func TestInstallInPartsLeavesAForeignTable(t *testing.T) {
	inNamespace(t)
	const foreign = `delete table inet ssmonitor
		table inet ssmonitor { comment "somebody's"
			map ports-in { type inet_proto . inet_service : counter; }
			map ports-out { type inet_proto . inet_service : counter; }
		}`
	replaced := true
	for step := 0; replaced; step++ {
		table, other := open(t, Options{}), open(t, Options{})
		table.additions = 8
		sends := 0
		replaced = false
		table.conn.beforeSend = func() {
			if _, found, err := other.conn.getTable(); sends >= step && !replaced && err == nil && found.exists() {
				nftCommand(t, foreign)
				replaced = true
			}
			sends++
		}
		err := table.Install(portList(5))
		if replaced && (!errors.Is(err, ErrForeignTable) || strings.Contains(nftCommand(t, "list ruleset"), "counter tcp")) {
			t.Errorf("replaced before message %d: got %v, want ErrForeignTable and no counter", step, err)
		}
		nftCommand(t, "flush ruleset")
	}
}

// TestFailedInstallIsNotVerified takes the socket away before each message of an
// installation in turn.
func TestFailedInstallIsNotVerified(t *testing.T) {
	inNamespace(t)
	ports := portList(7)
	failed := true
	for step := 0; failed; step++ {
		table := open(t, Options{})
		table.additions = 8
		install(t, table, ports[:1])
		nftCommand(t, "flush chain inet ssmonitor input")
		sends, working := 0, table.conn.FD
		table.conn.beforeSend = func() {
			if sends == step {
				table.conn.FD = -1
			}
			sends++
		}
		err := table.Install(ports)
		table.conn.FD, table.conn.beforeSend = working, nil
		if failed = err != nil; failed != (sends > step) || step > 50 {
			t.Fatalf("failing before message %d: got %v", step, err)
		}
		if attachErr := table.Attach(ports); failed && !errors.Is(attachErr, accounting.ErrChanged) {
			t.Errorf("failing before message %d: Attach: got %v, want ErrChanged", step, attachErr)
		}
		read(t, table)
		if findings := verify(t, table, ports); len(findings) == 0 {
			expectCounting(t, ports)
		}
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}
