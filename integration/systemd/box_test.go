package systemd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"

	"golang.org/x/sys/unix"
)

// box is a machine with a real systemd as its first process: the host's own
// files below an overlay that keeps all changes in memory, booted as a
// container with a network of its own. None of the host's services
// is in it, and no unit is enabled.
type box struct {
	number    int    // distinguishes the boxes of a run
	changed   string // the directory with the files that differ from the host's
	image     string // the directory that is the box's root, without what is mounted inside
	container *exec.Cmd
	ended     chan struct{} // closed when the container has
	leader    int           // systemd's process, as the test sees it
}

var boxes atomic.Int32

// newBox boots a box in which the files, by their paths, have the given
// content. It is removed at the end of the test.
func newBox(t *testing.T, files map[string]string) *box {
	t.Helper()
	require(t, "systemd-nspawn", "nsenter", "ip", "nft", "ss-server", "ss-local", "curl", "make", "dpkg-deb")
	b := &box{number: int(boxes.Add(1))}
	b.mountImage(t)
	for path, content := range files {
		testkit.ReplaceFile(t, filepath.Join(b.image, path), content)
	}
	b.boot(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the box's journal:\n%s", b.run(t, "journalctl", "--no-pager", "--quiet", "--lines=120", "--output=short-monotonic"))
		}
	})
	return b
}

// mountImage puts an overlay above the host's root and removes from it what
// would act inside the box.
func (b *box) mountImage(t *testing.T) {
	t.Helper()
	directory := t.TempDir()
	mount(t, "tmpfs", directory, "mode=755,size=2g")
	b.changed = filepath.Join(directory, "changed")
	b.image = filepath.Join(directory, "image")
	work := filepath.Join(directory, "work")
	for _, path := range []string{b.changed, b.image, work} {
		testkit.MakeDirectory(t, path)
	}
	mount(t, "overlay", b.image, fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", b.changed, work))
	for _, pattern := range []string{
		"etc/systemd/system/*.wants",
		"etc/fstab",
		"etc/shadowsocks-libev/*",
		"etc/v2ray",
		"etc/ssmonitor",
		"usr/sbin/policy-rc.d", // keeps services from starting in a build
	} {
		paths, err := filepath.Glob(filepath.Join(b.image, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	testkit.ReplaceFile(t, filepath.Join(b.image, "etc/machine-id"), "")
}

// mount mounts a file system until the end of the test.
func mount(t *testing.T, kind, directory, options string) {
	t.Helper()
	if err := syscall.Mount(kind, directory, kind, 0, options); err != nil {
		t.Fatalf("mounting %s at %s: %v", kind, directory, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", directory, err)
		}
	})
}

// boot starts systemd in the image and waits until it has come up.
func (b *box) boot(t *testing.T) {
	t.Helper()
	group := newBoxControlGroup(t)
	b.container = exec.Command("systemd-nspawn", "--quiet", "--boot", "--directory="+b.image,
		fmt.Sprintf("--machine=ssmonitor-box-%d", b.number), "--register=no", "--keep-unit", "--private-network",
		"--settings=no", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
		// Without bpf and its capability, IPAddressDeny= is silently not enforced.
		"--system-call-filter=bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self", "--capability=CAP_BPF",
		"--", "systemd.unit=basic.target", "quiet")
	b.container.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	var console strings.Builder
	b.container.Stdout, b.container.Stderr = &console, &console
	b.container.WaitDelay = time.Second
	if err := b.container.Start(); err != nil {
		t.Fatalf("starting systemd-nspawn: %v", err)
	}
	ended, process := make(chan struct{}), b.container
	go func() {
		_ = process.Wait() // killed in most cases
		close(ended)
	}()
	b.ended = ended
	t.Cleanup(func() {
		// Nothing of the box is kept, so it need not be shut down. If a process
		// cannot be killed, it has ended.
		if b.ended == ended && b.leader != 0 { // not rebooted since
			_ = syscall.Kill(b.leader, syscall.SIGKILL)
		}
		_ = process.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the box's console:\n%s", &console)
		}
	})
	eventually(t, b.findLeader)
	if state := b.run(t, "systemctl", "is-system-running", "--wait"); state != "running\n" {
		t.Fatalf("the box came up %s%s", state, b.run(t, "systemctl", "--failed"))
	}
}

// reboot shuts the box down in order and boots it again, to the units that are
// enabled. The network is a new one.
func (b *box) reboot(t *testing.T) {
	t.Helper()
	_, _ = b.attempt("systemctl", "poweroff") // it may well be killed by what it starts
	select {
	case <-b.ended:
	case <-time.After(patience):
		t.Fatal("the box does not shut down")
	}
	b.leader = 0
	b.boot(t)
	b.run(t, "systemctl", "start", "multi-user.target")
}

// newBoxControlGroup makes a control group for a box. All of them are removed
// when the tests have ended.
func newBoxControlGroup(t *testing.T) *os.File {
	t.Helper()
	path, err := os.MkdirTemp("/sys/fs/cgroup", "box-")
	if err != nil {
		t.Fatalf("making a control group: %v", err)
	}
	group, err := os.Open(path)
	if err != nil {
		t.Fatalf("opening a control group: %v", err)
	}
	t.Cleanup(func() { _ = group.Close() })
	return group
}

// findLeader looks for a systemd that answers among the children of the
// container's process.
func (b *box) findLeader() error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", b.container.Process.Pid))
	if err != nil {
		return fmt.Errorf("systemd-nspawn has ended: %w", err)
	}
	for text := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("children of systemd-nspawn: %w", err)
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		_, err = os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/private", pid))
		if string(name) == "systemd\n" && err == nil {
			b.leader = pid
			return nil
		}
	}
	return errors.New("systemd in the box does not answer")
}

// path returns where the test finds a file of the box, mounts included.
func (b *box) path(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", b.leader, path)
}

// command prepares a program to run in the box as root.
func (b *box) command(arguments ...string) *exec.Cmd {
	command := exec.Command("nsenter", append([]string{"--target=" + strconv.Itoa(b.leader),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"}, arguments...)...)
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb",
		"DEBIAN_FRONTEND=noninteractive"}
	return command
}

// attempt runs a program in the box and returns what it wrote; the error
// holds it as well.
func (b *box) attempt(arguments ...string) (string, error) {
	output, err := b.command(arguments...).CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s: %w\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output), nil
}

// run is like attempt for a program that must succeed.
func (b *box) run(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := b.attempt(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// as is like run, for another user and with that user's groups.
func (b *box) as(user string, arguments ...string) (string, error) {
	return b.attempt(append([]string{"runuser", "--user=" + user, "--"}, arguments...)...)
}

// write replaces a file of the box by a rename, as an editor does.
func (b *box) write(t *testing.T, path, content string) {
	t.Helper()
	testkit.ReplaceFile(t, b.path(path), content)
}

// journal returns the messages of a unit, those of systemd about it included.
func (b *box) journal(t *testing.T, unit string) string {
	t.Helper()
	b.run(t, "journalctl", "--sync") // until what was written before is in it
	return b.run(t, "journalctl", "--no-pager", "--quiet", "--output=cat", "--unit="+unit)
}

// copyIn copies files into the home directory of the box's root.
func (b *box) copyIn(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		testkit.WriteFile(t, b.path(filepath.Join("/root", filepath.Base(path))), testkit.ReadFile(t, path))
	}
}

// inside runs a function in the network of the box. Sockets that it makes stay
// there.
func (b *box) inside(t *testing.T, function func() error) {
	t.Helper()
	done := make(chan error)
	// The thread is not used again: it ends with its goroutine.
	go func() {
		done <- func() error {
			runtime.LockOSThread()
			network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", b.leader))
			if err != nil {
				return err
			}
			defer func() { _ = network.Close() }()
			if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return function()
		}()
	}()
	if err := <-done; err != nil {
		t.Fatalf("working in the box's network: %v", err)
	}
}

// walk calls visit for each file of the box that differs from the host's, and for
// each file in memory.
func (b *box) walk(t *testing.T, visit func(path string, entry fs.DirEntry)) {
	t.Helper()
	for _, top := range []string{b.changed, b.path("/run"), b.path("/tmp"), b.path("/dev/shm")} {
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil { // a file may go while it is looked at
				visit(path, entry)
			}
			return nil
		})
	}
}
