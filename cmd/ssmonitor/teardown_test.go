package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestTeardownDryRun expects the announcement of what teardown does, and that
// nothing changes.
func TestTeardownDryRun(t *testing.T) {
	p := newPlace(t)
	dryRun := func(more ...string) (status int, stdout, stderr string) {
		t.Helper()
		return call(t, append([]string{"teardown", "--dry-run", "--state", p.state}, more...)...)
	}
	expect := func(want string, more ...string) {
		t.Helper()
		if status, stdout, stderr := dryRun(more...); status != exitDone || stdout != want || stderr != "" {
			t.Errorf("%q: got status %d, %q and %q, want %q", more, status, stderr, stdout, want)
		}
	}
	kept := fmt.Sprintf("The totals in %s would be kept.\n", p.state)
	removed := fmt.Sprintf("The totals in %s would be removed: they can't be restored.\n", p.state)
	expect("There are no counters to remove. " + kept)
	expect("There are no counters to remove. "+removed, "--purge")

	p.setup()
	const counters = "Counting would end, and table inet ssmonitor would be removed, with the counters of 2 ports. "
	before := testkit.NFT(t, "list ruleset")
	expect(counters + kept)
	expect(counters+removed, "--purge")
	if after := testkit.NFT(t, "list ruleset"); after != before {
		t.Errorf("the ruleset was\n%s\nand is\n%s", before, after)
	}
	if _, err := os.Stat(p.state); err == nil {
		t.Error("--dry-run has made the state directory")
	}

	p.nft("delete table inet ssmonitor")
	p.nft(before) // loaded from a saved file
	expect(counters + kept)

	p.nft("delete table inet ssmonitor; add table inet ssmonitor")
	if status, stdout, stderr := dryRun(); status != exitFailed || stdout != "" || !strings.Contains(stderr, "is not ours") {
		t.Errorf("a foreign table: got status %d, %q and %q", status, stderr, stdout)
	}
	p.nft("delete table inet ssmonitor")
	p.setup()
	p.agent("")
	if status, stdout, stderr := dryRun(); status != exitFailed || stdout != "" || !strings.Contains(stderr, "stop it first") {
		t.Errorf("under a running agent: got status %d, %q and %q", status, stderr, stdout)
	}
}

// TestTeardownAfterPurge expects that nothing creates the totals again.
func TestTeardownAfterPurge(t *testing.T) {
	p := newPlace(t)
	p.setup()
	for _, test := range []struct{ arguments, want string }{
		{"", "The counters are removed; the totals are kept in " + p.state + ".\n"},
		{"--purge", "The counters and the totals are removed.\n"},
		{"", "There were no counters to remove.\n"},
	} {
		arguments := append([]string{"teardown", "--state", p.state}, strings.Fields(test.arguments)...)
		if status, stdout, stderr := call(t, arguments...); status != exitDone || stdout != test.want || stderr != "" {
			t.Errorf("%q: got status %d, %q and %q, want %q", arguments, status, stderr, stdout, test.want)
		}
	}
	if left, err := os.ReadDir(p.state); err != nil || len(left) > 0 {
		t.Errorf("the state directory has %v, %v", left, err)
	}
}
