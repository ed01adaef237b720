package finding_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestIDsAreDocumented compares the constants with the table in findings.md.
func TestIDsAreDocumented(t *testing.T) {
	names := func(path, pattern string) (names []string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			names = append(names, string(match[1]))
		}
		return names
	}
	declared := names("id.go", `ID += "(.+)"`)
	documented := names("../../integration/findings.md", "(?m)^\\| `([a-z-]+)` \\| (?:all|ok|note|unknown|wrong)[^|]*\\| [^|]+\\|$")
	if difference := cmp.Diff(declared, documented); difference != "" {
		t.Errorf("findings.md differs from id.go (-declared +documented)\n%s", difference)
	}
	if len(declared) == 0 {
		t.Error("found no ID")
	}
}
