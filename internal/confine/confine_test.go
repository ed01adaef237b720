package confine_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/confine"
	"ssmonitor/internal/interfaces"
	"ssmonitor/internal/testkit"
)

// attack is something that fails with EPERM from the start of the filter on, or goes
// on as before.
type attack struct {
	name    string
	refused bool
	try     func() error
}

// call returns a function that makes a system call; the other arguments are 0.
func call(number uintptr, arguments ...uintptr) func() error {
	var six [6]uintptr
	copy(six[:], arguments)
	return func() error {
		_, _, errno := unix.RawSyscall6(number, six[0], six[1], six[2], six[3], six[4], six[5])
		if errno != 0 {
			return errno
		}
		return nil
	}
}

func openSocket(family, kind, protocol uintptr) func() error {
	return func() error {
		fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, family, kind|unix.SOCK_CLOEXEC, protocol)
		if errno != 0 {
			return errno
		}
		return unix.Close(int(fd))
	}
}

// attacks returns what is tried. tcp is a socket that is open before the filter.
func attacks(tcp int) (list []attack) {
	add := func(refused bool, name string, try func() error) { list = append(list, attack{name, refused, try}) }
	for protocol := range uintptr(32) {
		allowed := protocol == unix.NETLINK_NETFILTER || protocol == unix.NETLINK_SOCK_DIAG
		for _, kind := range []uintptr{unix.SOCK_RAW, unix.SOCK_DGRAM} {
			add(!allowed, fmt.Sprintf("netlink protocol %d by type %d", protocol, kind), openSocket(unix.AF_NETLINK, kind, protocol))
		}
	}
	for family := range uintptr(unix.AF_MAX) {
		if family != unix.AF_NETLINK {
			add(family != unix.AF_UNIX, fmt.Sprintf("family %d", family), openSocket(family, unix.SOCK_DGRAM, 0))
		}
	}
	high := ^uintptr(0) >> 32 << 32 // which the kernel ignores; 0 where it has no such bits
	add(true, "rtnetlink in the low bits", openSocket(high|unix.AF_NETLINK, unix.SOCK_RAW, high|unix.NETLINK_ROUTE))
	for name, number := range map[string]uintptr{
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER, "io_uring_register": unix.SYS_IO_URING_REGISTER,
		"socketpair": unix.SYS_SOCKETPAIR, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "execve": unix.SYS_EXECVE, "execveat": unix.SYS_EXECVEAT,
		"ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
		"unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS, "bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN,
		"userfaultfd": unix.SYS_USERFAULTFD, "add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY, "keyctl": unix.SYS_KEYCTL,
	} {
		none := ^uintptr(0) // which, unlike 0, does nothing anywhere
		add(true, name, call(number, none, none, none, none, none, none))
	}
	add(false, "clone3", func() error {
		if err := call(unix.SYS_CLONE3)(); !errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("got %w, want that it is missing", err)
		}
		return nil
	})
	for _, flag := range []uintptr{unix.CLONE_NEWUSER, unix.CLONE_NEWNET} {
		// Without the filter, a thread that shares no signal handlers is refused as invalid.
		add(true, fmt.Sprintf("clone with %#x", flag), call(unix.SYS_CLONE, flag|unix.CLONE_THREAD))
	}
	for name, request := range map[string]uintptr{
		"changing an interface": unix.SIOCSIFFLAGS, "a bridge": unix.SIOCBRADDBR, "a route": unix.SIOCADDRT, "an address": unix.SIOCSIFADDR,
		"in the low bits": high | unix.SIOCSIFFLAGS,
	} {
		add(true, name+" by ioctl", call(unix.SYS_IOCTL, uintptr(tcp), request, 0))
	}
	add(false, "the addresses", func() error { _, err := interfaces.Addresses(); return err })
	add(false, "a name", func() error { _, err := interfaces.Name(1); return err })
	add(false, "an option of TCP", func() error { return unix.SetsockoptInt(tcp, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) })
	const replaceRules = 64 // IPT_SO_SET_REPLACE, and IP6T_SO_SET_REPLACE
	for _, level := range []int{unix.IPPROTO_IP, unix.IPPROTO_IPV6} {
		add(true, fmt.Sprintf("iptables by level %d", level), func() error { return unix.SetsockoptInt(tcp, level, replaceRules, 1) })
	}
	if runtime.GOARCH == "amd64" {
		const x32Socket = 0x40000000 | unix.SYS_SOCKET
		add(true, "a socket of the x32 ABI", call(x32Socket, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE))
	}
	return list
}

// tryAll returns which of the attacks did not end as they should.
func tryAll(list []attack, where string) (wrong []string) {
	for _, a := range list {
		if err := a.try(); errors.Is(err, unix.EPERM) != a.refused || !a.refused && err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %s: got %v, want it refused: %t", where, a.name, err, a.refused))
		}
	}
	return wrong
}

const childVariable = "SSMONITOR_TEST_CONFINED"

// TestEnter runs itself as a process, on which the filter stays.
func TestEnter(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		testkit.RequireRoot(t, "a process that may do all of it before")
		child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestEnter$", "-test.v")
		child.Env = append(os.Environ(), childVariable+"=1")
		output, err := child.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--- PASS: TestEnter") {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	testkit.NetworkNamespace(t)
	tcp, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := openSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)(); err != nil {
		t.Fatalf("without the filter: %v", err)
	}
	list := attacks(tcp)
	type place struct {
		begin chan struct{}
		wrong chan []string
	}
	var threads []place
	for i := range 4 { // that are there before
		p := place{make(chan struct{}), make(chan []string)}
		threads = append(threads, p)
		ready := make(chan struct{})
		go func() {
			runtime.LockOSThread() // and end with it
			close(ready)
			<-p.begin
			p.wrong <- tryAll(list, fmt.Sprintf("thread %d", i))
		}()
		<-ready
	}
	for range 2 { // which need not be asked for twice
		if err := confine.Enter(); err != nil {
			t.Fatal(err)
		}
	}
	wrong := tryAll(list, "the thread itself")
	for _, p := range threads {
		close(p.begin)
		wrong = append(wrong, <-p.wrong...)
	}
	after := make(chan []string)
	go func() {
		runtime.LockOSThread() // which makes a new one
		after <- tryAll(list, "a thread of later")
	}()
	if wrong = append(wrong, <-after...); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	if err := exec.CommandContext(t.Context(), "/bin/true").Run(); !errors.Is(err, unix.EPERM) {
		t.Errorf("running a program: got %v, want EPERM", err)
	}
}
