package confine

import (
	"fmt"
	"syscall"
)

// KeepOutOfDumps keeps the memory of this process, which is about to read files
// with passwords, out of core dumps and away from the debuggers of other
// processes. RLIMIT_CORE would not do: the kernel ignores it where dumps go to a
// program, such as systemd-coredump.
func KeepOutOfDumps() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("keeping passwords out of core dumps: %w", errno)
	}
	return nil
}
