package confine

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data of include/uapi/linux/seccomp.h. Of an argument the
// kernel itself looks at the low 32 bits only, here: all of them are an int.
const (
	numberOffset       = 0
	architectureOffset = 4
	argumentsOffset    = 16
	argumentSize       = 8
)

// x32Bit marks the numbers of the x32 ABI, which is of architecture x86_64 too.
const x32Bit = 0x40000000

// architectures are the values of AUDIT_ARCH for Go's names. All of them are little
// endian, have a system call for each operation of sockets, and no other ABI that
// the filter would have to know, save x32.
var architectures = map[string]uint32{
	"amd64":   unix.AUDIT_ARCH_X86_64,
	"arm64":   unix.AUDIT_ARCH_AARCH64,
	"arm":     unix.AUDIT_ARCH_ARM,
	"riscv64": unix.AUDIT_ARCH_RISCV64,
}

// refused are the system calls that the agent never makes.
var refused = []uint32{
	// Sockets can be made by io_uring and taken from other processes.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_SOCKETPAIR, unix.SYS_PIDFD_GETFD,
	// Other programs and processes.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	// Other namespaces, where CAP_NET_ADMIN may be had or may count.
	unix.SYS_UNSHARE, unix.SYS_SETNS,
	// Parts of the kernel that many attacks on it begin with.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
}

// namespaces are the flags of clone that make one.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// program returns the filter for an architecture by Go's name.
func program(goarch string) ([]unix.SockFilter, error) {
	architecture, ok := architectures[goarch]
	if !ok {
		return nil, fmt.Errorf("%w, %s", errUnsupported, goarch)
	}
	raw, err := bpf.Assemble(instructions(architecture))
	if err != nil {
		return nil, fmt.Errorf("assembling the filter of system calls: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return filter, nil
}

func instructions(architecture uint32) []bpf.Instruction {
	filter := []bpf.Instruction{
		bpf.LoadAbsolute{Off: architectureOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: numberOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32Bit, SkipTrue: 1},
		refuse,
	}
	for _, call := range refused {
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, refuse)
	}
	return slices.Concat(filter,
		// Unix sockets, and the two protocols of netlink that the agent speaks.
		when(unix.SYS_SOCKET, slices.Concat(
			argument(0),
			allowIf(unix.AF_UNIX),
			[]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1}, refuse},
			argument(2),
			allowIf(unix.NETLINK_NETFILTER, unix.NETLINK_SOCK_DIAG),
			[]bpf.Instruction{refuse})),
		// Threads are started by clone. The filter can't read the flags of clone3, and a C
		// library that misses it uses clone.
		when(unix.SYS_CLONE3, []bpf.Instruction{missing}),
		when(unix.SYS_CLONE, slices.Concat(
			argument(0),
			[]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: namespaces, SkipFalse: 1}, refuse, allow})),
		// With any socket, ioctls can change interfaces. These two, of package
		// interfaces, read.
		when(unix.SYS_IOCTL, slices.Concat(
			argument(1),
			allowIf(unix.SIOCGIFCONF, unix.SIOCGIFNAME),
			[]bpf.Instruction{refuse})),
		// With a TCP socket, which another process may pass, options of these levels change iptables'
		// rules of before nftables, the services of IPVS and multicast routes.
		when(unix.SYS_SETSOCKOPT, slices.Concat(
			argument(1),
			[]bpf.Instruction{
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_IP, SkipTrue: 1},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_IPV6, SkipTrue: 1},
				refuse, allow,
			})),
		[]bpf.Instruction{allow},
	)
}

var (
	allow  bpf.Instruction = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse bpf.Instruction = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	// missing is what a kernel without the system call would answer.
	missing bpf.Instruction = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

// when runs a block, each of whose ways has to return, for one system call.
func when(call uint32, block []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: uint8(len(block))}}, block...)
}

// argument loads an argument of the system call.
func argument(index uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.LoadAbsolute{Off: argumentsOffset + argumentSize*index, Size: 4}}
}

// allowIf returns from the filter if what is loaded has one of the values.
func allowIf(values ...uint32) (block []bpf.Instruction) {
	for _, value := range values {
		block = append(block, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 1}, allow)
	}
	return block
}
