package endtoend_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// roleToPlay is the environment variable that makes the test binary a helper
// program; see traffic_test.go.
const roleToPlay = "SSMONITOR_TEST_ROLE"

// patience is how long a test waits for something that should happen soon.
const patience = 15 * time.Second

func TestMain(m *testing.M) {
	if role := os.Getenv(roleToPlay); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	os.Exit(testkit.Sandbox{
		Namespaces: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Prepare:    buildPrograms,
		Enter:      moveTemporaryFiles,
	}.Main(m))
}

// buildPrograms builds the programs under test.
func buildPrograms(directory string) error {
	build := exec.Command("go", "build", "-o", directory+"/", "ssmonitor/cmd/ssmonitor", "ssmonitor/integration/demo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs under test: %w\n%s", err, output)
	}
	return nil
}

// moveTemporaryFiles makes the tests keep their files in the sandbox's /run.
func moveTemporaryFiles() error {
	const temporary = "/run/tests"
	if err := os.Mkdir(temporary, 0o755); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", temporary)
}

// require calls testkit.Missing unless the test runs as root and ip, nft and all
// programs are installed.
func require(t *testing.T, programs ...string) {
	t.Helper()
	testkit.RequireRoot(t, "this test")
	testkit.Require(t, append([]string{"ip", "nft"}, programs...)...)
}

// eventually waits until condition returns nil. After patience the test fails
// with its error.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	testkit.Eventually(t, patience, condition)
}

// builtProgram returns the path of a program under test.
func builtProgram(name string) string {
	return filepath.Join(testkit.SandboxDirectory(), name)
}

// testBinary returns the path of the running program.
func testBinary() string {
	path, err := os.Executable()
	if err != nil {
		panic(err) // no /proc: nothing here would work
	}
	return path
}

// sharedDirectory returns a temporary directory that other users can reach.
func sharedDirectory(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for _, path := range []string{filepath.Dir(directory), directory} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// randomName returns a name that no other namespace has.
func randomName() string {
	return "ssmonitor-" + strings.ToLower(rand.Text()[:10])
}
