package testkit

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// NetworkNamespace moves the test's goroutine into a network namespace of its
// own, with lo up. The thread is never unlocked, so that it ends with the test,
// and the namespace with it.
func NetworkNamespace(tb testing.TB) {
	tb.Helper()
	RequireRoot(tb, "a network namespace")
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		Missing(tb, "making a network namespace: %v", err)
	}
	SetLinkUp(tb, "lo")
}

// SetLinkUp does what `ip link set NAME up` does, since the bare virtual
// machines in which some tests run have no ip.
func SetLinkUp(tb testing.TB, name string) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	req, err := unix.NewIfreq(name)
	if err != nil {
		tb.Fatal(err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		tb.Fatalf("setting %s up: %v", name, err)
	}
}

// NFT runs `nft -f` with the script in the namespace of the test's thread and
// returns what it prints.
func NFT(tb testing.TB, script string) string {
	tb.Helper()
	Require(tb, "nft")
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	output, err := command.CombinedOutput()
	if err != nil {
		tb.Fatalf("nft: %v\n%s\n%s", err, script, output)
	}
	return string(output)
}

// PrivateMounts moves the test's goroutine into a mount namespace of its own:
// what the test mounts is seen by nobody else and ends with the test, even if
// the test is killed. The thread is never unlocked.
func PrivateMounts(tb testing.TB) {
	tb.Helper()
	RequireRoot(tb, "a mount namespace")
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		Missing(tb, "making a mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		tb.Fatal(err)
	}
}

// RootsDirectory returns a directory of the test's own that only root may write or replace,
// and any user may read. It is in a mount namespace of the test.
func RootsDirectory(tb testing.TB) string {
	tb.Helper()
	PrivateMounts(tb)
	const directory = "/mnt"
	if err := unix.Mount("none", directory, "tmpfs", 0, "mode=755"); err != nil {
		tb.Fatal(err)
	}
	return directory
}

// Start starts a program, as adjusted, which ends with the test.
func Start(tb testing.TB, adjust func(*exec.Cmd), name string, arguments ...string) *exec.Cmd {
	tb.Helper()
	if !filepath.IsAbs(name) {
		Require(tb, name)
	}
	command := exec.Command(name, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if adjust != nil {
		adjust(command)
	}
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { Stop(command) })
	return command
}

// Stop kills a program, and waits until it has ended.
func Stop(command *exec.Cmd) {
	_ = command.Process.Kill()
	_ = command.Wait()
}

// DropCapabilities takes every capability from the test's thread, which is never
// unlocked, so that it ends with the test.
func DropCapabilities(tb testing.TB) {
	tb.Helper()
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		tb.Fatalf("dropping capabilities: %v", err)
	}
}
