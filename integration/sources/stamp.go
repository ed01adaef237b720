package sources

import (
	"os"
	"syscall"
	"time"
)

// granularity is longer than the steps in which kernels count the time of
// local files, at most 10 ms.
const granularity = 100 * time.Millisecond

// stamp is what tells one state of a path from another without reading it. It
// is all zero but for the path where nothing is to be seen.
type stamp struct {
	path           string
	inode          uint64
	size           int64
	written, moved syscall.Timespec // mtime; ctime, which also shows a chmod
}

// take returns the stamp of what is at the path now, behind symbolic links.
func take(path string) stamp {
	now := stamp{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return now
	}
	now.size = info.Size()
	if status, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode = status.Ino
		now.written, now.moved = status.Mtim, status.Ctim
	}
	return now
}

// outdated tells whether the path has another stamp now.
func (s stamp) outdated() bool {
	return take(s.path) != s
}

// recent tells that the path has changed so short a time ago that another
// change could leave it with the same stamp.
func (s stamp) recent() bool {
	age := time.Since(time.Unix(s.moved.Unix()))
	return age < granularity && age > -granularity
}
