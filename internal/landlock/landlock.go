// Package landlock takes from the process the right to open files, for the rest of
// its life: landlock(7). The kernel applies it to root, too. Paths can still be looked
// up, and their attributes read.
package landlock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Access is what the process may still do with a file, or with everything in a
// directory.
type Access uint64

const (
	// Read is to read files and list directories.
	Read Access = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// Write is to write, create, replace and remove files.
	Write Access = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE

	// ofFiles are the rights that a file can be given.
	ofFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// rights are all that a version of the interface can take, from version 1 on.
var rights = [...]Access{unix.LANDLOCK_ACCESS_FS_REFER - 1, unix.LANDLOCK_ACCESS_FS_TRUNCATE - 1, 2*unix.LANDLOCK_ACCESS_FS_TRUNCATE - 1}

// Restrict leaves the process the access to these paths and no other: to execute a
// program, to make a device or to move a file to another directory is denied
// everywhere. A path that does not exist is left out, also if it appears later. Links
// are followed. It fails with errors.ErrUnsupported if the kernel has no Landlock, or a
// filter of system calls hides it, and then changes nothing.
func Restrict(paths map[string]Access) error {
	handled, err := supported()
	if err != nil {
		return err
	}
	attributes := unix.LandlockRulesetAttr{Handled_access_fs: uint64(handled)}
	ruleset, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes.Handled_access_fs), 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_create_ruleset", errno)
	}
	defer func() { _ = syscall.Close(int(ruleset)) }()
	for path, access := range paths {
		if err := allow(int(ruleset), path, access&handled); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("allowing access to %s: %w", path, err)
		}
	}
	// All threads: an unprivileged process may only restrict itself if it can't gain
	// privileges, and Go starts threads at any time.
	if _, _, errno := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return os.NewSyscallError("landlock_restrict_self", errno)
	}
	return nil
}

// supported returns the rights that the kernel can take from a process.
func supported() (Access, error) {
	version, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return rights[min(int(version), len(rights))-1], nil
	case syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EPERM:
		return 0, fmt.Errorf("landlock: %w: %w", errors.ErrUnsupported, errno)
	}
	return 0, os.NewSyscallError("landlock_create_ruleset", errno)
}

func allow(ruleset int, path string, access Access) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: uint64(access), Parent_fd: int32(fd)}
	_, _, errno := syscall.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_add_rule", errno)
	}
	return nil
}
