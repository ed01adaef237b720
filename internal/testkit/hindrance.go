package testkit

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// RefuseNetlink has every netlink socket for netfilter, or of any protocol, refused with
// the error number from now on, in all threads: as kernels without nf_tables, sandboxes
// with a kernel of their own and security modules do. It is for processes that end soon.
func RefuseNetlink(anyProtocol bool, errno syscall.Errno) error {
	const numberOffset, familyOffset, protocolOffset = 0, 16, 32 // in struct seccomp_data
	// Only Go's own calls count here: no check of the architecture.
	filter := []bpf.Instruction{
		bpf.LoadAbsolute{Off: numberOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: 5},
		bpf.LoadAbsolute{Off: familyOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_NETLINK, SkipTrue: 3},
		bpf.LoadAbsolute{Off: protocolOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.NETLINK_NETFILTER, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	}
	if anyProtocol {
		filter[5] = bpf.LoadConstant{}
	}
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	installed := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&installed))); errno != 0 {
		return errno
	}
	return nil
}

// ExecWithoutBounding executes this program again without a capability in its bounding
// set, as container engines start root. It returns only if that fails.
func ExecWithoutBounding(capability uintptr) error {
	runtime.LockOSThread() // the set is the thread's
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
		return fmt.Errorf("dropping the capability: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// OthersNetwork makes the process that is started root of a user namespace of its own, in
// the network namespace of this one.
func OthersNetwork(tb testing.TB) *syscall.SysProcAttr {
	tb.Helper()
	RequireRoot(tb, "a user namespace")
	identity := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: identity, GidMappings: identity}
}
