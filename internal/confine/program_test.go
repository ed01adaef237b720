package confine

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestOtherArchitecture makes system calls by another architecture's ABI, whose
// numbers mean others, as 32-bit code does.
func TestOtherArchitecture(t *testing.T) {
	for name, architecture := range architectures {
		machine, err := bpf.NewVM(instructions(architecture))
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ architecture, number, want uint32 }{
			{architecture, unix.SYS_READ, unix.SECCOMP_RET_ALLOW},
			{unix.AUDIT_ARCH_I386, unix.SYS_READ, unix.SECCOMP_RET_KILL_PROCESS},
			{architecture, unix.SYS_EXECVE, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{architecture, x32Bit | unix.SYS_READ, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		} {
			var data [64]byte // struct seccomp_data, whose words this machine reads as big endian
			binary.BigEndian.PutUint32(data[architectureOffset:], test.architecture)
			binary.BigEndian.PutUint32(data[numberOffset:], test.number)
			if got, err := machine.Run(data[:]); err != nil || uint32(got) != test.want {
				t.Errorf("%s: architecture %#x, number %d: got %#x, %v, want %#x", name, test.architecture, test.number, got, err, test.want)
			}
		}
	}
}

func TestUnsupportedArchitecture(t *testing.T) {
	if filter, err := program("386"); !errors.Is(err, errUnsupported) {
		t.Errorf("got %d instructions, %v; 386 also has socketcall, which the filter can't look into", len(filter), err)
	}
}
