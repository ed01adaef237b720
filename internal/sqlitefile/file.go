package sqlitefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// file is an open file of a database.
type file struct {
	*os.File
	flags      vfs.OpenFlag
	level      vfs.LockLevel
	index      vfs.SharedMemory // of the log
	keepLog    bool
	isNewEntry bool // its name in the directory may not be durable yet
}

var (
	_ vfs.FileHasMoved     = &file{}
	_ vfs.FileSizeHint     = &file{}
	_ vfs.FilePersistWAL   = &file{}
	_ vfs.FileSharedMemory = &file{}
)

func newFile(handle *os.File, flags vfs.OpenFlag) *file {
	const journals = vfs.OPEN_MAIN_JOURNAL | vfs.OPEN_WAL
	return &file{
		File: handle, flags: flags,
		isNewEntry: flags&vfs.OPEN_CREATE != 0 && flags&journals != 0,
		index:      vfs.NewSharedMemory(handle.Name()+indexSuffix, flags),
	}
}

// Close releases all locks.
func (f *file) Close() error {
	if closer, ok := f.index.(io.Closer); ok {
		_ = closer.Close()
	}
	return f.File.Close()
}

// ReadAt reports what a damaged disk or file system can't read as such.
func (f *file) ReadAt(data []byte, offset int64) (int, error) {
	n, err := f.File.ReadAt(data, offset)
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ERANGE) || errors.Is(err, syscall.ENXIO) {
		err = vfs.SystemError(err, sqlite3.IOERR_CORRUPTFS)
	}
	return n, err
}

// WriteAt reports a full disk as such.
func (f *file) WriteAt(data []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(data, offset)
	return n, full(err)
}

// SizeHint makes room for what is about to be written. It reports a full disk as such.
func (f *file) SizeHint(size int64) error {
	now, err := f.Size()
	if err != nil || now >= size {
		return err
	}
	err = retry(func() error { return syscall.Fallocate(int(f.Fd()), 0, now, size-now) })
	if errors.Is(err, syscall.EOPNOTSUPP) {
		err = f.Truncate(size)
	}
	return full(err)
}

func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return sqlite3.FULL
	}
	return err
}

// Sync makes the content durable, and the name of a new file.
func (f *file) Sync(vfs.SyncFlag) error {
	if err := retry(func() error { return syscall.Fdatasync(int(f.Fd())) }); err != nil || !f.isNewEntry {
		return err
	}
	f.isNewEntry = false
	directory, err := os.OpenFile(filepath.Dir(f.Name()), syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil // as SQLite's own file system
	}
	defer func() { _ = directory.Close() }()
	return vfs.SystemError(directory.Sync(), sqlite3.IOERR_DIR_FSYNC)
}

// Size returns the size in bytes.
func (f *file) Size() (int64, error) { return f.Seek(0, io.SeekEnd) }

// SectorSize is what SQLite assumes for an unknown disk.
func (f *file) SectorSize() int { return 4096 }

// DeviceCharacteristics are those that any file system on Linux has.
func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_POWERSAFE_OVERWRITE
}

// HasMoved reports whether another file, or none, has the name now.
func (f *file) HasMoved() (bool, error) {
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(opened, there), err
}

// SharedMemory returns the index of the log. The library opens it by its name, and
// would wait for a FIFO that it may not write to.
func (f *file) SharedMemory() vfs.SharedMemory {
	index, ok := f.index.(interface{ Fd() uintptr })
	if !ok || index.Fd() != ^uintptr(0) { // it is open
		return f.index
	}
	if checkRegular(f.Name()+indexSuffix) != nil {
		return vfs.NewSharedMemory(f.Name()+"/", f.flags) // can't be opened
	}
	return f.index
}

// PersistWAL reports whether the log is kept when the database is closed.
func (f *file) PersistWAL() bool { return f.keepLog }

// SetPersistWAL sets whether the log is kept when the database is closed.
func (f *file) SetPersistWAL(keep bool) { f.keepLog = keep }

// retry repeats a system call that a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
