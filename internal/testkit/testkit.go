// Package testkit holds what the tests of several packages share: golden files,
// requirements, waiting, namespaces, and a sandbox that keeps tests away from
// the files of the host. It imports testing, so the product must not import it;
// .golangci.yml and a test of this package see to that.
package testkit

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Golden compares got with the file of that name in testdata. With -update it
// writes the file first.
func Golden(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("%s differs (-want +got); if the change is right, run go test -update:\n%s", name, diff)
	}
}

// Updating reports whether the tests are to rewrite their golden files.
func Updating() bool { return *update }

// Missing ends a test that lacks something it needs. The test is skipped, or
// fails if CI=true: nothing may be missing there.
func Missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// RequireRoot calls [Missing] unless the test runs as root.
func RequireRoot(tb testing.TB, purpose string) {
	tb.Helper()
	if os.Geteuid() != 0 {
		Missing(tb, "%s needs root", purpose)
	}
}

// Require calls [Missing] unless all programs are installed. A program is a name
// that is searched in PATH, or the absolute path of any file.
func Require(tb testing.TB, programs ...string) {
	tb.Helper()
	if missing := missingPrograms(programs); len(missing) > 0 {
		Missing(tb, "this test needs %s: `make packages` installs what the tests need", strings.Join(missing, ", "))
	}
}

func missingPrograms(programs []string) (missing []string) {
	for _, program := range programs {
		find := exec.LookPath
		if filepath.IsAbs(program) {
			find = filepath.EvalSymlinks
		}
		if _, err := find(program); err != nil {
			missing = append(missing, program)
		}
	}
	return missing
}

// WithoutMake returns the environment without the flags of a make that runs the tests,
// which are not for another one.
func WithoutMake() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS=")
	})
}

// Eventually calls condition until it returns nil. If it still returns an error
// after the timeout, the test fails with that error. A machine that stands still
// for a while spends a tenth of the timeout at most.
func Eventually(tb testing.TB, timeout time.Duration, condition func() error) {
	tb.Helper()
	begin := time.Now()
	for left := timeout; ; {
		look := time.Now()
		err := condition()
		if err == nil {
			return
		}
		if left <= 0 {
			tb.Fatalf("after %s still: %v", time.Since(begin).Round(time.Millisecond), err)
		}
		time.Sleep(5 * time.Millisecond)
		left -= min(time.Since(look), timeout/10)
	}
}
