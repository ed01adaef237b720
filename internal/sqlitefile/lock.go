package sqlitefile

import (
	"errors"
	"io"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// The bytes that SQLite locks: https://www.sqlite.org/fileformat.html#the_lock_byte_page.
const (
	pendingByte  = 0x40000000
	reservedByte = pendingByte + 1
	sharedBytes  = pendingByte + 2
	sharedSize   = 510
)

// Commands of fcntl(2): include/uapi/asm-generic/fcntl.h. Other than the locks of a
// process, these are not lost when it closes another descriptor of the file.
const (
	getLock = 36 // F_OFD_GETLK
	setLock = 37 // F_OFD_SETLK
)

// Lock takes a lock, or fails with BUSY at once: whoever can read the file can hold
// locks that nobody must wait for.
func (f *file) Lock(level vfs.LockLevel) error {
	if f.level >= level {
		return nil
	}
	if level >= vfs.LOCK_RESERVED && f.flags&vfs.OPEN_READONLY != 0 {
		return sqlite3.IOERR_LOCK
	}
	switch level {
	case vfs.LOCK_SHARED:
		if writing, err := f.isLocked(pendingByte); err != nil || writing {
			return sqlite3.BUSY
		}
		return f.raise(level, syscall.F_RDLCK, sharedBytes, sharedSize)
	case vfs.LOCK_RESERVED:
		return f.raise(level, syscall.F_WRLCK, reservedByte, 1)
	}
	if f.level == vfs.LOCK_RESERVED { // keeps new readers out
		if err := f.raise(vfs.LOCK_PENDING, syscall.F_WRLCK, pendingByte, 1); err != nil {
			return err
		}
	}
	return f.raise(vfs.LOCK_EXCLUSIVE, syscall.F_WRLCK, sharedBytes, sharedSize)
}

// raise locks bytes, after which the level is a higher one.
func (f *file) raise(level vfs.LockLevel, kind int16, start, size int64) error {
	err := f.set(kind, start, size)
	if err == nil {
		f.level = level
	}
	return err
}

// Unlock releases all locks above a level.
func (f *file) Unlock(level vfs.LockLevel) error {
	was := f.level
	if was <= level {
		return nil
	}
	f.level = level
	if level == vfs.LOCK_NONE {
		return f.set(syscall.F_UNLCK, 0, 0)
	}
	if was == vfs.LOCK_EXCLUSIVE {
		if err := f.set(syscall.F_RDLCK, sharedBytes, sharedSize); err != nil {
			return sqlite3.IOERR_RDLOCK
		}
	}
	return f.set(syscall.F_UNLCK, pendingByte, 2)
}

// CheckReservedLock reports whether somebody is about to write.
func (f *file) CheckReservedLock() (bool, error) {
	if f.level >= vfs.LOCK_RESERVED {
		return true, nil
	}
	return f.isLocked(reservedByte)
}

// isLocked reports whether somebody else has locked a byte to write.
func (f *file) isLocked(at int64) (bool, error) {
	lock := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart, Start: at, Len: 1}
	err := retry(func() error { return syscall.FcntlFlock(f.Fd(), getLock, &lock) })
	return lock.Type == syscall.F_WRLCK, vfs.SystemError(err, sqlite3.IOERR_CHECKRESERVEDLOCK)
}

func (f *file) set(kind int16, start, size int64) error {
	lock := syscall.Flock_t{Type: kind, Whence: io.SeekStart, Start: start, Len: size}
	err := retry(func() error { return syscall.FcntlFlock(f.Fd(), setLock, &lock) })
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return sqlite3.BUSY
	}
	return vfs.SystemError(err, sqlite3.IOERR_LOCK)
}
