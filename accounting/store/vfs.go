package store

import (
	"errors"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// vfsName is the name under which SQLite knows our file system.
const vfsName = "ssmonitor"

func init() { vfs.Register(vfsName, fileSystem{}) }

// fileSystem is the default file system without memory mapping. In go-sqlite3
// v0.37.0 a file with checksums offers memory mapping but does not implement it,
// so that a checkpoint after another connection's write panics.
type fileSystem struct{}

func (fileSystem) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return plain(vfs.Find("").Open(name, flags))
}

// OpenFilename opens the log read-only if it may not be written, as SQLite's own
// file system does.
func (fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	system := vfs.Find("").(vfs.VFSFilename)
	file, opened, err := plain(system.OpenFilename(name, flags))
	if err == nil || flags&vfs.OPEN_WAL == 0 || flags&vfs.OPEN_READWRITE == 0 {
		return file, opened, err
	}
	flags = flags&^(vfs.OPEN_READWRITE|vfs.OPEN_CREATE) | vfs.OPEN_READONLY
	if file, opened, readErr := plain(system.OpenFilename(name, flags)); readErr == nil {
		return file, opened, nil
	}
	return nil, opened, err
}

func (fileSystem) Delete(name string, syncDirectory bool) error {
	return vfs.Find("").Delete(name, syncDirectory)
}

func (fileSystem) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return vfs.Find("").Access(name, flags)
}

func (fileSystem) FullPathname(name string) (string, error) { return vfs.Find("").FullPathname(name) }

// plain hides from SQLite that a file can be mapped.
func plain(file vfs.File, flags vfs.OpenFlag, err error) (vfs.File, vfs.OpenFlag, error) {
	if whole, ok := file.(wholeFile); ok && err == nil {
		return plainFile{whole}, flags, nil
	}
	return file, flags, err
}

// wholeFile lists what a file of the default file system can do, except for
// memory mapping.
type wholeFile interface {
	vfs.FilePersistWAL
	vfs.FilePowersafeOverwrite
	vfs.FileSharedMemory
	vfs.FileSizeHint
	vfs.FileHasMoved
	vfs.FileLockState
}

type plainFile struct{ wholeFile }

// WriteAt reports a full disk as such.
func (f plainFile) WriteAt(data []byte, offset int64) (int, error) {
	n, err := f.wholeFile.WriteAt(data, offset)
	return n, full(err)
}

// SizeHint reports a full disk as such.
func (f plainFile) SizeHint(size int64) error { return full(f.wholeFile.SizeHint(size)) }

func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return sqlite3.FULL
	}
	return err
}
