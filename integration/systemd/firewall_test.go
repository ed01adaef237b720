package systemd_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

func TestTableIsRepairedWhenNftablesFlushesIt(t *testing.T) {
	b := newServer(t)
	b.write(t, "/etc/nftables.conf", "flush ruleset\ntable inet filter {\n}\n")
	c := newClient(t, b, 8388)
	b.expectExact(t)
	var lost traffic
	for _, verb := range []string{"start", "reload", "restart", "stop"} {
		t.Run(verb, func(t *testing.T) {
			agent, epoch := b.mainPID(t), b.tableHandle()
			stop := c.startBusy(t)
			c.waitExchanges(t, 5)
			before := b.waitForReading(t, lost)
			b.run(t, "systemctl", verb, "nftables.service")
			eventually(t, func() error {
				if now := b.tableHandle(); now == "" || now == epoch {
					return fmt.Errorf("the table has handle %q, before the flush it had %q", now, epoch)
				}
				return nil
			})
			b.waitForPorts(t, 8388)
			window := b.truth(t).minus(before)
			if err := stop(); err != nil {
				t.Errorf("the client was disturbed: %v", err)
			}
			// Only what passed since the last reading is lost, and nothing
			// after the table has been installed again.
			loss := b.loss(t)
			since := loss.minus(lost)
			t.Logf("lost %+v of %+v", since, window)
			if since.In.Bytes > window.In.Bytes || since.Out.Bytes > window.Out.Bytes {
				t.Errorf("got a loss of %+v, want at most the %+v between the last reading and the repair", since, window)
			}
			lost = loss
			c.exchangeAll(t, 5)
			b.expectLoss(t, lost)
			b.expectSameAgent(t, agent)
		})
	}
}

// waitForReading waits until the totals include what has passed the interface by
// now, less what was lost earlier, and returns what has passed.
func (b *box) waitForReading(t *testing.T, lost traffic) traffic {
	t.Helper()
	now := b.truth(t)
	want := now.minus(lost)
	eventually(t, func() error {
		totals, err := b.totals()
		if err == nil && (totals.In.Bytes < want.In.Bytes || totals.Out.Bytes < want.Out.Bytes) {
			err = fmt.Errorf("the totals are %+v, less than %+v", totals, want)
		}
		return err
	})
	return now
}

// tableHandle returns what identifies the table in the kernel; it is empty if
// there is no table.
func (b *box) tableHandle() string {
	listing, err := b.attempt("nft", "--handle", "list", "table", "inet", "ssmonitor")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(listing, "\n")
	return first
}

func TestFirewallsLeaveTheTableAlone(t *testing.T) {
	packages, _ := filepath.Glob(filepath.Join(testkit.SandboxDirectory(), "firewalls", "*.deb"))
	if testkit.SandboxDirectory() != "" && len(packages) == 0 {
		testkit.Missing(t, "this test needs %s", strings.Join(firewalls, " and ")+" from Debian's archive")
	}
	b := newServer(t)
	b.copyIn(t, packages...)
	names := make([]string, len(packages))
	for i, path := range packages {
		names[i] = "/root/" + filepath.Base(path)
	}
	c := newClient(t, b, 8388)
	stop := c.startBusy(t)
	for _, command := range []string{
		"iptables-nft --flush",
		"iptables-nft --table nat --flush",
		"iptables-nft --delete-chain",
		"iptables-legacy --flush",
		"ip6tables-nft --flush",
		"nft flush ruleset ip",
	} {
		t.Run(command, func(t *testing.T) { b.expectTableKept(t, strings.Fields(command)) })
	}
	if err := stop(); err != nil {
		t.Errorf("the client was disturbed: %v", err)
	}
	b.expectExact(t)

	b.run(t, append([]string{"dpkg", "--install"}, names...)...)
	stop = c.startBusy(t)
	for _, command := range []string{
		"firewall-offline-cmd --add-port=8388/tcp --add-port=8388/udp",
		"systemctl start firewalld.service",
		"firewall-cmd --reload",
		"firewall-cmd --complete-reload",
		"systemctl restart firewalld.service",
		"systemctl stop firewalld.service",
		"ufw allow 8388",
		"ufw --force enable",
		"ufw reload",
		"ufw --force reset",
		"ufw disable",
	} {
		t.Run(command, func(t *testing.T) { b.expectTableKept(t, strings.Fields(command)) })
	}
	_ = stop() // a firewall that starts may well disturb a client
	// What the firewalls dropped or rejected is not counted. Once they are
	// removed, everything is.
	dropped := b.loss(t)
	c.exchangeAll(t, 5)
	b.expectLoss(t, dropped)
}

// expectTableKept checks that a command neither replaces the table nor resets
// its counters.
func (b *box) expectTableKept(t *testing.T, command []string) {
	t.Helper()
	table, counted := b.tableHandle(), b.rawBytes(t)
	b.run(t, command...)
	if now := b.tableHandle(); now != table {
		t.Errorf("the table is %q, it was %q", now, table)
	}
	if now := b.rawBytes(t); now < counted {
		t.Errorf("the counter fell from %d to %d bytes", counted, now)
	}
}

// rawBytes returns what the kernel's counter of port 8388 holds.
func (b *box) rawBytes(t *testing.T) uint64 {
	t.Helper()
	listing := b.run(t, "nft", "list", "counter", "inet", "ssmonitor", "tcp-8388-in")
	_, text, _ := strings.Cut(listing, "bytes ")
	var bytes uint64
	if _, err := fmt.Sscan(text, &bytes); err != nil {
		t.Fatalf("%v in %s", err, listing)
	}
	return bytes
}
