package kernels_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

const (
	// deadline limits one kernel, from the download to the last test. It is many
	// times what is needed, for busy hosts.
	deadline = 20 * time.Minute
	// cacheDirectory is below the module's build, which git ignores.
	cacheDirectory = "../../build/kernels"
)

// skipped are the tests that skip themselves with -test.short, because emulation
// is too slow for them, and one that needs flowtables. No other test may be
// skipped.
var skipped = []string{"TestReadBeyondTheDumpLimit", "TestManyCommitsHideNoDrift",
	"TestSingleRequestsMissNoNewCounter", "TestInstallRemovesFlowtables",
	"TestAnotherProcessInstallsWithoutListingTheCounters", "TestTranslationsBeyondTheLimits"}

// packages are those whose tests run on each kernel. No two of their tests have
// the same name.
var packages = []string{"ssmonitor/nft", "ssmonitor/nft/survey", "ssmonitor/nft/conntrack", "ssmonitor/nft/ipvs",
	"ssmonitor/internal/confine", "ssmonitor/internal/interfaces",
	"ssmonitor/integration/kernels/paths"}

// neighbours are the programs that the tests of these packages run, beside
// ssmonitor.
var neighbours = []string{"nft", "iptables-nft", "ip6tables-nft", "ip"}

// inVM is the variable without which package paths runs no test.
const inVM = "SSMONITOR_TEST_IN_VM=yes"

func TestNftOnDebianKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("emulation takes some minutes")
	}
	testkit.Require(t, append(neighbours, "qemu-system-x86_64", "busybox", "ldd", "apt-cache", "apt-get", "dpkg")...)
	directory := t.TempDir()
	product := filepath.Join(directory, "ssmonitor")
	build(t, product, "build", "ssmonitor/cmd/ssmonitor")
	var binaries, wanted []string
	for _, name := range packages {
		binary := filepath.Join(directory, path.Base(name)+".test")
		build(t, binary, "test", "-c", name)
		binaries = append(binaries, binary)
		list := exec.CommandContext(t.Context(), binary, "-test.list=^(Test|Fuzz)")
		list.Env = append(os.Environ(), inVM)
		wanted = append(wanted, strings.Fields(output(t, list))...)
	}

	for _, kernel := range []struct {
		series  string
		persist string // what nft/own_test.go is told
	}{
		{"6.1", "no"},
		{"6.12", "yes"},
	} {
		t.Run(kernel.series, func(t *testing.T) {
			t.Parallel() // each emulates one processor
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			m := machine{
				kernel:      fetchKernel(ctx, t, kernel.series),
				environment: []string{"CI=true", inVM, "SSMONITOR_KERNEL_HAS_PERSIST=" + kernel.persist},
			}
			m.initramfs = packInitramfs(ctx, t, m.kernel, product, binaries)
			booted := time.Now()
			result := m.run(ctx, t)
			passed, err := verdict(result.tests, wanted)
			if err = errors.Join(err, result.err); err != nil {
				t.Fatalf("%v\nthe end of the console:\n%s\nwhat the tests wrote:\n%s",
					err, lastLines(result.console, 40), result.tests)
			}
			t.Logf("%s: %d tests and subtests passed in %.1f s of emulation, %.1f s in all",
				filepath.Base(m.kernel), passed, time.Since(booted).Seconds(), time.Since(began).Seconds())
		})
	}
}

// build runs a command of go that writes a static program.
func build(t *testing.T, target, command string, arguments ...string) {
	t.Helper()
	arguments = append([]string{command, "-ldflags=-s -w", "-o", target}, arguments...)
	build := exec.CommandContext(t.Context(), "go", arguments...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, build)
}

var testResult = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

// verdict evaluates the output of the virtual machine's serial port. It returns
// the number of tests and subtests that passed. It returns an error unless the
// tests ended with status 0, all wanted tests passed, and only those in skipped
// were skipped.
func verdict(written string, wanted []string) (passed int, err error) {
	if last := lastLines(written, 1); last != "VM-RC=0" {
		err = fmt.Errorf("the last line is %q, want VM-RC=0", last)
	}
	results := make(map[string]string)
	for _, match := range testResult.FindAllStringSubmatch(written, -1) {
		result, name := match[1], match[2]
		results[name] = result
		switch {
		case result == "PASS":
			passed++
		case result == "FAIL" || !slices.Contains(skipped, name):
			err = errors.Join(err, fmt.Errorf("%s: %s", result, name))
		}
	}
	if len(wanted) == 0 {
		err = errors.Join(err, errors.New("there are no tests to run"))
	}
	for _, name := range wanted {
		if results[name] == "" {
			err = errors.Join(err, fmt.Errorf("%s did not run to its end", name))
		}
	}
	return passed, err
}

func TestVerdict(t *testing.T) {
	wanted := []string{"TestA", "TestReadBeyondTheDumpLimit"}
	const both = "6.1.0\n=== RUN   TestA\n--- PASS: TestA (0.01s)\n    --- PASS: TestA/sub (0.00s)\n--- SKIP: TestReadBeyondTheDumpLimit (0.00s)\nPASS\n"
	tests := []struct {
		name, written, complaint string
		passed                   int
	}{
		{"all is well", both + "VM-RC=0\n", "", 2},
		{"nothing came", "", `the last line is "", want VM-RC=0`, 0},
		{"the kernel stopped on the way", both, `the last line is "PASS", want VM-RC=0`, 2},
		{"the tests failed at the end", both + "VM-RC=1\n", `the last line is "VM-RC=1", want VM-RC=0`, 2},
		{"something follows the verdict", both + "VM-RC=0\noops\n", `the last line is "oops", want VM-RC=0`, 2},
		{"a test failed", both + "--- FAIL: TestB (0.00s)\nVM-RC=0\n", "FAIL: TestB", 2},
		{"a test was skipped", both + "--- SKIP: TestB (0.00s)\nVM-RC=0\n", "SKIP: TestB", 2},
		{"a subtest was skipped", both + "    --- SKIP: TestA/other (0.00s)\nVM-RC=0\n", "SKIP: TestA/other", 2},
		{"a test is missing", "--- PASS: TestReadBeyondTheDumpLimit (9.00s)\nVM-RC=0\n", "TestA did not run to its end", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			passed, err := verdict(test.written, wanted)
			complaint := ""
			if err != nil {
				complaint, _, _ = strings.Cut(err.Error(), "\n")
			}
			if complaint != test.complaint || passed != test.passed {
				t.Errorf("got %d passed, complaint %q, want %d, %q", passed, complaint, test.passed, test.complaint)
			}
		})
	}
	if _, err := verdict("VM-RC=0\n", nil); err == nil {
		t.Error("without any test: got no complaint")
	}
}

// lastLines returns the end of a text, without the last line's end.
func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// output runs a command and returns what it writes to stdout. The test fails if
// the command does.
func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var complaints strings.Builder
	command.Stderr = &complaints
	written, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, &complaints)
	}
	return string(written)
}
