package systemd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// root is the module's top directory, seen from this one.
const root = "../.."

// patience is how long a test waits for something that should happen soon.
const patience = 20 * time.Second

// The versions of the package that the tests install, one after the other.
const (
	olderVersion = "0.0.1"
	newerVersion = "0.0.2"
)

func TestMain(m *testing.M) {
	os.Exit(testkit.Sandbox{
		Namespaces: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWCGROUP,
		Prepare:    preparePackages,
		Enter:      enterControlGroups,
		Wrap:       wrapInControlGroup,
	}.Main(m))
}

// preparePackages does what needs the network or the host.
func preparePackages(directory string) error {
	return errors.Join(buildPackages(directory), downloadFirewalls(directory))
}

// wrapInControlGroup makes the tests start in a control group of their own.
func wrapInControlGroup(attr *syscall.SysProcAttr) (done func(), err error) {
	group, err := newControlGroup()
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(group.Fd())
	return func() { removeControlGroup(group) }, nil
}

// buildPackages builds both versions of the Debian package.
func buildPackages(directory string) error {
	for _, version := range []string{olderVersion, newerVersion} {
		build := exec.Command("make", "--no-print-directory", "-C", root, "deb",
			"DEBVERSION="+version, "BUILD="+directory, "DEBCOMPRESSION=-Zgzip -z1") // to compress well takes longer than most tests
		build.Env = testkit.WithoutMake()
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the package: %w\n%s", err, output)
		}
	}
	return nil
}

// firewalls are Debian packages that the tests install only inside a box:
// on the host they would take effect.
var firewalls = []string{"firewalld", "ufw"}

// downloadFirewalls downloads the packages and those of their dependencies that
// the host lacks, once for all runs, and links them into the directory. Without a
// network the tests of the firewalls are skipped and name them.
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

// newControlGroup makes a control group directly below the root of the host's
// unified hierarchy.
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

// enterControlGroups gives the tests the control groups of their own namespace
// and sets their loopback interface up.
func enterControlGroups() error {
	// On a host with both cgroup versions this also unmounts what is below.
	if err := syscall.Unmount("/sys/fs/cgroup", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the host's control groups: %w", err)
	}
	if err := syscall.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mounting the control groups: %w", err)
	}
	if output, err := exec.Command("ip", "link", "set", "dev", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("setting loopback up: %w\n%s", err, output)
	}
	return nil
}

// require calls testkit.Missing unless the test runs as root and all programs
// are installed.
func require(t *testing.T, programs ...string) {
	t.Helper()
	testkit.RequireRoot(t, "this test")
	testkit.Require(t, programs...)
}

// eventually waits until condition returns nil. After patience the test fails
// with its error.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	testkit.Eventually(t, patience, condition)
}
