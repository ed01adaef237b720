package store

import (
	"github.com/ncruces/go-sqlite3/vfs"
)

// vfsName is the file system that SQLite is told to use.
const vfsName = "ssmonitor"

func init() { vfs.Register(vfsName, fileSystem{}) }

// fileSystem is the default file system without memory mapping. In
// go-sqlite3 v0.37.0 a file with checksums first offers memory mapping and then
// has none: a checkpoint after another connection's write panics.
type fileSystem struct{}

func (fileSystem) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return plain(vfs.Find("").Open(name, flags))
}

func (fileSystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return plain(vfs.Find("").(vfs.VFSFilename).OpenFilename(name, flags))
}

func (fileSystem) Delete(name string, syncDirectory bool) error {
	return vfs.Find("").Delete(name, syncDirectory)
}

func (fileSystem) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return vfs.Find("").Access(name, flags)
}

func (fileSystem) FullPathname(name string) (string, error) { return vfs.Find("").FullPathname(name) }

// plain hides from SQLite that a file could be mapped.
func plain(file vfs.File, flags vfs.OpenFlag, err error) (vfs.File, vfs.OpenFlag, error) {
	if whole, ok := file.(wholeFile); ok && err == nil {
		return plainFile{whole}, flags, nil
	}
	return file, flags, err
}

// wholeFile is what a file of the default file system can do, but for memory
// mapping.
type wholeFile interface {
	vfs.FilePersistWAL
	vfs.FilePowersafeOverwrite
	vfs.FileSharedMemory
	vfs.FileSizeHint
	vfs.FileHasMoved
	vfs.FileLockState
}

type plainFile struct{ wholeFile }
