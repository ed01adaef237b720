package store

import (
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/ncruces/go-sqlite3/vfs"
)

// errFault says that a page of a log's index could not be read. SQLite maps the
// index into memory, and the kernel sends SIGBUS for a page that somebody has cut
// off.
var errFault = errors.New("the index of its log was truncated by somebody else")

// guard calls do and returns errFault if it reads a page that does not exist. What
// do was doing is then in an unknown state.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = errFault
		default:
			panic(reason) //nolint:forbidigo // it is not of our making
		}
	}()
	return do()
}

// guard calls do, which uses the database. After a fault the database can only be
// closed.
func (db *database) guard(do func() error) error {
	err := guard(do)
	if errors.Is(err, errFault) {
		db.faulted = true
	}
	return err
}

// retrying calls do until it meets no fault, but not for ever: each time it opens
// the index again.
func retrying(do func() error) (err error) {
	for range 3 {
		if err = do(); !errors.Is(err, errFault) {
			return err
		}
	}
	return err
}

// forsake closes the files of a connection that met a fault, without calling
// SQLite. The memory of the connection is not freed. Since the index stays mapped
// into it, closing the index releases no lock.
func (db *database) forsake() {
	for _, file := range db.opened {
		if sharing, ok := file.(vfs.FileSharedMemory); ok {
			unlock(sharing.SharedMemory())
		}
		if closer, ok := file.(io.Closer); ok {
			_ = closer.Close()
		}
	}
}

// unlock releases all locks of a log's index.
func unlock(index vfs.SharedMemory) {
	const setLock = 37 // F_OFD_SETLK: include/uapi/asm-generic/fcntl.h
	if file, ok := index.(interface{ Fd() uintptr }); ok {
		_ = syscall.FcntlFlock(file.Fd(), setLock, &syscall.Flock_t{Type: syscall.F_UNLCK})
	}
}
