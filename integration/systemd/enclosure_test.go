package systemd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// enclosedIn is the environment variable by which the test binary tells the
// copy of itself that runs the tests where the packages are.
const enclosedIn = "SSMONITOR_TEST_PACKAGES"

// root is the module's top directory, seen from this one.
const root = "../.."

// patience is how long a test waits for what should happen soon.
const patience = 20 * time.Second

// The versions of the package that the tests install, one after the other.
const (
	olderVersion = "0.0.1"
	newerVersion = "0.0.2"
)

func TestMain(m *testing.M) {
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

// enclose prepares what needs the network and runs the tests in namespaces and
// a control group of their own. When their first process ends, by whatever
// cause, the kernel ends all others; mounts and networks go with them.
func enclose() int {
	directory, err := os.MkdirTemp("", "ssmonitor-packages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a directory for the packages:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	for _, prepare := range []func(directory string) error{buildPackages, downloadFirewalls} {
		if err := prepare(directory); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	group, err := newControlGroup()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer removeControlGroup(group)
	return runEnclosed(directory, group)
}

// runEnclosed runs a copy of the test binary in the control group and returns
// its exit status.
func runEnclosed(directory string, group *os.File) int {
	// The tests are told to end by Pdeathsig, which watches the thread that
	// started them, and by the terminal, which sends its Ctrl-C to them as
	// well. It is taken note of here, not ignored: that they would inherit.
	runtime.LockOSThread()
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	tests := exec.Command("/proc/self/exe", os.Args[1:]...)
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	tests.Env = append(os.Environ(), enclosedIn+"="+directory)
	tests.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWCGROUP,
		Unshareflags: syscall.CLONE_NEWNS, // with this one, nothing mounted inside is seen outside
		UseCgroupFD:  true,
		CgroupFD:     int(group.Fd()),
		Pdeathsig:    syscall.SIGKILL,
	}
	err := tests.Run()
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

// buildPackages makes both versions of the Debian package.
func buildPackages(directory string) error {
	for _, version := range []string{olderVersion, newerVersion} {
		if output, err := makePackage(version, directory).CombinedOutput(); err != nil {
			return fmt.Errorf("building the package: %w\n%s", err, output)
		}
	}
	return nil
}

// makePackage prepares the making of a version of the package in a directory.
// To compress it well would take longer than most tests.
func makePackage(version, directory string) *exec.Cmd {
	return makeTarget("deb", "DEBVERSION="+version, "BUILD="+directory, "DEBCOMPRESSION=-Zgzip -z1")
}

// makeTarget prepares make to run with a target of the project's Makefile.
func makeTarget(arguments ...string) *exec.Cmd {
	command := exec.Command("make", append([]string{"--no-print-directory", "-C", root}, arguments...)...)
	// The flags of a make that runs the tests are not for this one.
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS=")
	})
	return command
}

// firewalls are Debian packages that the tests install inside of a box only:
// on the host they would act.
var firewalls = []string{"firewalld", "ufw"}

// downloadFirewalls fetches the packages with all they need and the host does
// not have, once for all runs, and links them into the directory. Without a
// network the tests of the firewalls say that they are missing.
func downloadFirewalls(directory string) error {
	cache, err := filepath.Abs(filepath.Join(root, "build", "debs"))
	if err != nil {
		return fmt.Errorf("finding the cache of packages: %w", err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "firewalld_*.deb"))
	if len(found) == 0 {
		if err := os.MkdirAll(filepath.Join(cache, "partial"), 0o755); err != nil {
			return fmt.Errorf("making the cache of packages: %w", err)
		}
		download := exec.Command("apt-get", append([]string{"install", "--yes", "--quiet=2", "--download-only",
			"--no-install-recommends", "--option=Dir::Cache::Archives=" + cache}, firewalls...)...)
		if output, err := download.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "downloading %v: %v\n%s", firewalls, err, output)
		}
	}
	return os.Symlink(cache, filepath.Join(directory, "firewalls"))
}

// newControlGroup makes a control group below the one that the unified
// hierarchy of the host begins with.
func newControlGroup() (*os.File, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("looking for the control groups: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "cgroup2" {
			continue
		}
		path, err := os.MkdirTemp(fields[1], "ssmonitor-test-")
		if err != nil {
			return nil, fmt.Errorf("making a control group: %w", err)
		}
		return os.Open(path)
	}
	return nil, errors.New("looking for the control groups: no cgroup2 is mounted")
}

// removeControlGroup removes a control group without processes and all groups
// below it.
func removeControlGroup(group *os.File) {
	var groups []string
	_ = filepath.WalkDir(group.Name(), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return nil
	})
	for _, path := range slices.Backward(groups) {
		if err := syscall.Rmdir(path); err != nil {
			fmt.Fprintf(os.Stderr, "removing the control group %s: %v\n", path, err)
		}
	}
	_ = group.Close()
}

// hideHost gives the tests the processes and control groups of their own
// namespaces and an empty /run, and brings their loopback up.
func hideHost() error {
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	// A host with both versions has mounts below this one, which go with it.
	if err := syscall.Unmount("/sys/fs/cgroup", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the host's control groups: %w", err)
	}
	if err := syscall.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mounting the control groups: %w", err)
	}
	if output, err := exec.Command("ip", "link", "set", "dev", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bringing loopback up: %w\n%s", err, output)
	}
	return nil
}

// require skips the test where root or one of the programs is missing; with
// CI=true the test fails.
func require(t *testing.T, programs ...string) {
	t.Helper()
	var missing []string
	if os.Getenv(enclosedIn) == "" {
		missing = append(missing, "root")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		lacking(t, strings.Join(missing, ", "))
	}
}

// lacking skips the test for want of something; with CI=true the test fails.
func lacking(t *testing.T, what string) {
	t.Helper()
	message := "this test needs " + what
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
		time.Sleep(20 * time.Millisecond)
	}
}
