package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The environment variables by which the sandbox knows its own processes.
const (
	sandboxVariable   = "SSMONITOR_TEST_SANDBOX" // entering, then inside
	directoryVariable = "SSMONITOR_TEST_SANDBOX_DIRECTORY"

	entering = "entering"
	inside   = "inside"
)

// Sandbox runs all tests of a package where they cannot change the host's files,
// also not those that do not exist yet: in a mount namespace in which /etc and
// /var are read-only, /run is empty and in memory, and the configurations of
// ssmonitor and Shadowsocks are hidden.
type Sandbox struct {
	// Namespaces are further namespaces, such as syscall.CLONE_NEWPID.
	Namespaces uintptr
	// Prepare, if not nil, runs before the sandbox is entered, for what needs
	// the host, such as building a program into the sandbox's directory.
	Prepare func(directory string) error
	// Enter, if not nil, runs in the sandbox before the tests.
	Enter func() error
	// Wrap, if not nil, adjusts how the tests are started. The returned
	// function runs after their end.
	Wrap func(attr *syscall.SysProcAttr) (done func(), err error)
}

// Main runs the tests in a sandbox and returns the exit status, for os.Exit. As
// a user other than root it runs them without one: such a user can neither enter
// it nor write to the directories it protects.
//
// When the first process of a PID namespace ends, for whatever reason, the
// kernel ends all others, and network namespaces and mounts go with them.
func (s Sandbox) Main(m *testing.M) int {
	var err error
	switch {
	case os.Getenv(sandboxVariable) == inside:
		return m.Run()
	case os.Getenv(sandboxVariable) == entering:
		if err = s.enter(); err == nil {
			return m.Run()
		}
	case os.Geteuid() != 0:
		return m.Run()
	default:
		var status int
		if status, err = s.start(); err == nil {
			return status
		}
	}
	fmt.Fprintln(os.Stderr, "running the tests in a sandbox:", err)
	return 1
}

// SandboxDirectory returns the directory in which Prepare has put its files. It
// is empty outside of a sandbox.
func SandboxDirectory() string { return os.Getenv(directoryVariable) }

// start runs a copy of this process in the sandbox.
func (s Sandbox) start() (status int, err error) {
	directory, err := os.MkdirTemp("", "ssmonitor-tests-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	// Tests start programs from there as other users too.
	if err := os.Chmod(directory, 0o755); err != nil {
		return 0, err
	}
	if s.Prepare != nil {
		if err := s.Prepare(directory); err != nil {
			return 0, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// Ctrl-C reaches the copy as well. Here it must not prevent the removal of
	// the directory.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	// Pdeathsig refers to the thread that starts the copy.
	runtime.LockOSThread()
	tests := exec.Command(self, os.Args[1:]...)
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	tests.Env = append(os.Environ(), sandboxVariable+"="+entering, directoryVariable+"="+directory)
	tests.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   s.Namespaces,
		Unshareflags: syscall.CLONE_NEWNS, // unlike in Cloneflags, Go also makes all mounts private
		Pdeathsig:    syscall.SIGKILL,
	}
	if s.Wrap != nil {
		done, err := s.Wrap(tests.SysProcAttr)
		if err != nil {
			return 0, err
		}
		defer done()
	}
	err = tests.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

func (s Sandbox) enter() error {
	if s.Namespaces&syscall.CLONE_NEWPID != 0 {
		if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mounting /proc: %w", err)
		}
	}
	if err := protectHost(); err != nil {
		return err
	}
	if s.Enter != nil {
		if err := s.Enter(); err != nil {
			return err
		}
	}
	return os.Setenv(sandboxVariable, inside)
}

func protectHost() error {
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mounting an empty /run: %w", err)
	}
	for _, pattern := range []string{"/etc/ssmonitor", "/var/lib/ssmonitor", "/etc/shadowsocks*", "/var/snap/shadowsocks*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, directory := range found {
			err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "mode=0755")
			if err != nil && !errors.Is(err, syscall.ENOTDIR) {
				return fmt.Errorf("hiding %s: %w", directory, err)
			}
		}
	}
	for _, directory := range []string{"/etc", "/var"} {
		if err := syscall.Mount(directory, directory, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s again: %w", directory, err)
		}
		readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, directory, unix.AT_RECURSIVE, &readOnly); err != nil {
			return fmt.Errorf("making %s read-only: %w", directory, err)
		}
	}
	return nil
}
