// Package confine takes from this process, for good, what the agent never does after
// its start, so that an attacker who takes it over can't either.
//
// CAP_NET_ADMIN, which the agent needs for its counters, is also the power over all
// routes and interfaces. A seccomp filter leaves of it what goes through netfilter:
// it knows the protocol of a netlink socket, which systemd's filters don't, but not
// the messages on one. So no socket of rtnetlink may be open when the filter begins.
// Nor does it see what another process passes over a unix socket: an attacker with another
// process on the host can pass a socket of rtnetlink to the one that they took over.
package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errUnsupported means that there is no filter for this architecture.
var errUnsupported = errors.New("there is no seccomp filter for this architecture")

// Enter puts the filter in force for all threads of this process, and for all that
// these ever start. What it refuses fails with EPERM. After an error nothing is
// refused.
func Enter() error {
	filter, err := program(runtime.GOARCH)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // both calls are about the calling thread
	defer runtime.UnlockOSThread()
	// Without it only CAP_SYS_ADMIN may set a filter. The kernel passes it on to the
	// other threads together with the filter.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", os.NewSyscallError("prctl", err))
	}
	installed := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&installed)))
	if errno != 0 {
		return fmt.Errorf("setting the filter of system calls: %w", os.NewSyscallError("seccomp", errno))
	}
	if thread != 0 {
		return fmt.Errorf("setting the filter of system calls: thread %d has a filter of its own", thread)
	}
	return nil
}
