package integration_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The environment by which the test binary tells a copy of itself what to be.
const (
	enclosedIn = "SSMONITOR_TEST_ENCLOSED_IN" // the directory with the programs under test
	roleToPlay = "SSMONITOR_TEST_ROLE"        // see traffic_test.go
)

// patience is how long a test waits for what should happen soon.
const patience = 15 * time.Second

func TestMain(m *testing.M) {
	if role := os.Getenv(roleToPlay); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	run := m.Run
	switch {
	case os.Getenv(enclosedIn) != "":
		if err := hideHost(); err != nil {
			fmt.Fprintln(os.Stderr, "hiding the host from the tests:", err)
			os.Exit(1)
		}
	case os.Geteuid() == 0:
		run = enclose
	}
	os.Exit(run())
}

// enclose builds the programs under test and runs the tests in namespaces of
// their own. When their first process ends, by whatever cause, the kernel ends
// all others, and the network namespaces go with them.
func enclose() int {
	directory, err := os.MkdirTemp("", "ssmonitor-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a directory for the programs under test:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	// An unprivileged user is to run them too.
	if err := os.Chmod(directory, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-o", directory+"/", "ssmonitor/cmd/ssmonitor", "ssmonitor/integration/demo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs under test: %v\n%s", err, output)
		return 1
	}

	// Ctrl-C reaches the tests as well: here it is only kept from preventing
	// the removal of the directory. Pdeathsig watches the thread that starts
	// the tests.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	runtime.LockOSThread()
	tests := exec.Command(testBinary(), os.Args[1:]...)
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	tests.Env = append(os.Environ(), enclosedIn+"="+directory)
	tests.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Unshareflags: syscall.CLONE_NEWNS, // with this one, nothing mounted inside is seen outside
		Pdeathsig:    syscall.SIGKILL,
	}
	err = tests.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "running the tests in namespaces of their own:", err)
		return 1
	}
	return 0
}

// hideHost gives the tests the processes of their own namespace, an empty /run
// in memory, in which they keep all their files, and no configuration of
// ssmonitor or Shadowsocks.
func hideHost() error {
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	directories := []string{"/run"}
	for _, pattern := range []string{"/etc/ssmonitor", "/etc/shadowsocks*", "/var/snap/shadowsocks*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		directories = append(directories, found...)
	}
	for _, directory := range directories {
		err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "mode=0755")
		if err != nil && !errors.Is(err, syscall.ENOTDIR) {
			return fmt.Errorf("mounting %s: %w", directory, err)
		}
	}
	const temporary = "/run/tests"
	if err := os.Mkdir(temporary, 0o755); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", temporary)
}

// require skips the test where root or one of the programs, or of the files
// named by an absolute path, is missing; with CI=true the test fails.
func require(t *testing.T, programs ...string) {
	t.Helper()
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	for _, program := range append([]string{"ip", "nft"}, programs...) {
		find := exec.LookPath
		if filepath.IsAbs(program) {
			find = filepath.EvalSymlinks
		}
		if _, err := find(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) == 0 {
		return
	}
	message := "this test needs " + strings.Join(missing, ", ")
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// eventually asks until condition has no complaint, and fails the test with
// the last one when patience is at its end.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %v", patience, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// builtProgram is the path of a program under test.
func builtProgram(name string) string {
	return filepath.Join(os.Getenv(enclosedIn), name)
}

// testBinary is the path of the running program.
func testBinary() string {
	path, err := os.Executable()
	if err != nil {
		panic(err) // no /proc: nothing here would work
	}
	return path
}

// sharedDirectory is a temporary directory that other users can reach.
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

// writeFile puts a file in place by a rename, as an editor does.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// randomName is a name that no other namespace has.
func randomName() string {
	return "ssmonitor-" + strings.ToLower(rand.Text()[:10])
}
