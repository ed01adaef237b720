package endtoend_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestSavedRulesetLoadsAgain does what administrators do to keep a ruleset.
func TestSavedRulesetLoadsAgain(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"host", "container"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.setup(t, "--hook", hook, "--port", "20000", "--port", "20001/tcp=a name")
			server.sendToItself(t, countedPort, 10)
			saved := server.ruleset(t)
			if !strings.Contains(saved, "packets 10 bytes 1280") {
				t.Errorf("nothing was counted:\n%s", saved)
			}
			server.nft(t, "flush ruleset\n")
			server.nft(t, saved)
			if loaded := server.ruleset(t); loaded != saved {
				t.Errorf("the ruleset was\n%s\nloaded again it is\n%s", saved, loaded)
			}
		})
	}
}

// TestRulesetOfNftAndOursListTheSame compares our ruleset with those that
// nft loads from a file, one written by hand and one by --dry-run.
func TestRulesetOfNftAndOursListTheSame(t *testing.T) {
	t.Parallel()
	byHand := testkit.ReadFile(t, filepath.Join("testdata", "two_ports.nft"))
	ports := []string{"--port", "20000", "--port", "20001/tcp=a name"}
	tests := []struct {
		name  string
		flags []string
		text  func(t *testing.T, ssmonitor product) string
	}{
		{"written by hand", ports, func(*testing.T, product) string { return byHand }},
		{"dry run", ports, dryRun(ports...)},
		{"dry run for containers", append(ports, "--hook", "container"), dryRun(append(ports, "--hook", "container")...)},
		{"dry run of a thousand ports", []string{"--port", "20000-20999"}, dryRun("--port", "20000-20999")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := newNamespace(t), newNamespace(t)
			ssmonitor := newProduct(t, ours)
			theirs.nft(t, test.text(t, ssmonitor))
			ours.expectNoRuleset(t, "before setup")
			ssmonitor.setup(t, test.flags...)
			if want, got := theirs.ruleset(t), ours.ruleset(t); got != want {
				t.Errorf("nft makes\n%s\nsetup makes\n%s", want, got)
			}
		})
	}
}

func dryRun(flags ...string) func(*testing.T, product) string {
	return func(t *testing.T, ssmonitor product) string {
		text := ssmonitor.setup(t, append([]string{"--dry-run"}, flags...)...)
		if _, err := os.Stat(ssmonitor.list); err == nil {
			t.Error("a dry run wrote the list of ports")
		}
		return text
	}
}

// TestForeignTableIsLeftAlone gives our name to a table that is not ours.
func TestForeignTableIsLeftAlone(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.nft(t, "table inet ssmonitor { chain theirs { }; }")
	before := server.ruleset(t)
	look := []string{"nft list table inet ssmonitor"}
	server.fail(t, 1, look, "setup", "--list", server.list, "--port", "20000")
	server.fail(t, 1, look, "run", "--port", "20000")
	server.fail(t, 1, look, "teardown")
	if after := server.ruleset(t); after != before {
		t.Errorf("the foreign table was\n%s\nand is\n%s", before, after)
	}
}
