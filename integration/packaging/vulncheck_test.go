package packaging

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// advisory writes a database with one invented vulnerability, of all versions of a
// package.
func advisory(t *testing.T, module, path string) (directory string) {
	t.Helper()
	directory = t.TempDir()
	entry := fmt.Sprintf(`{"schema_version": "1.3.1", "id": "GO-0000-0001", "modified": "2026-11-30T00:00:00Z",
		"published": "2026-11-30T00:00:00Z", "summary": "Invented for a test", "details": "None.",
		"affected": [{"package": {"name": %q, "ecosystem": "Go"},
			"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
			"ecosystem_specific": {"imports": [{"path": %q}]}}],
		"database_specific": {"url": "https://example.com/GO-0000-0001"}}`, module, path)
	testkit.WriteFile(t, filepath.Join(directory, "GO-0000-0001.json"), entry)
	return directory
}

// TestLookingUpVulnerabilities runs the check that lint runs if it has a database.
func TestLookingUpVulnerabilities(t *testing.T) {
	testkit.Require(t, "make")
	tests := []struct {
		name, database string
		want           string // in the output of a check that fails; empty: it succeeds
	}{
		{"a package of the product", advisory(t, "golang.org/x/sys", "golang.org/x/sys/unix"), "GO-0000-0001"},
		{"a package of the tests", advisory(t, "gonum.org/v1/plot", "gonum.org/v1/plot"), "GO-0000-0001"},
		{"a package of the standard library", advisory(t, "stdlib", "net/http"), "GO-0000-0001"},
		{"a package that is not imported", advisory(t, "golang.org/x/crypto", "golang.org/x/crypto/openpgp"), ""},
		{"an empty database", t.TempDir(), "want a directory with a database"},
		{"no database", filepath.Join(t.TempDir(), "none"), "want a directory with a database"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			command := exec.Command("make", "-C", "../..", "vulncheck", "VULNDB="+test.database)
			command.Env = testkit.WithoutMake()
			output, err := command.CombinedOutput()
			if failed := err != nil; failed != (test.want != "") || !strings.Contains(string(output), test.want) {
				t.Errorf("%v, want %q in\n%s", err, test.want, output)
			}
		})
	}
}

// TestLintLooksUpVulnerabilities compares what lint would run.
func TestLintLooksUpVulnerabilities(t *testing.T) {
	const check = "govulncheck -test"
	lint := func(variables ...string) string {
		return run(t, "../..", nil, append([]string{"make", "--dry-run", "lint"}, variables...)...)
	}
	if with := lint("VULNDB=/database"); !strings.Contains(with, check) {
		t.Errorf("with a database, lint does not look up anything:\n%s", with)
	}
	if without := lint("VULNDB="); strings.Contains(without, check) || !strings.Contains(without, "VULNDB names no database") {
		t.Errorf("without a database:\n%s", without)
	}
}
