package sources

import (
	"os"
	"syscall"
	"time"

	"ssmonitor/integration/shadowsocks"
)

// granularity is longer than the steps in which kernels record the times of
// local files, at most 10 ms.
const granularity = 100 * time.Millisecond

// fileStamp distinguishes the states of a path without reading the file. If
// there is nothing at the path, all fields but the path are zero.
type fileStamp struct {
	path              string
	inode             uint64
	size              int64
	modified, changed syscall.Timespec // mtime; ctime, which also shows a chmod
	stopped           bool             // the server of the configuration, where that can be told
}

// statOf returns the stamp of what is at the path now, following symbolic links.
func statOf(path string) fileStamp {
	stamp := fileStamp{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return stamp
	}
	stamp.size, stamp.stopped = info.Size(), shadowsocks.Stopped(path)
	if status, ok := info.Sys().(*syscall.Stat_t); ok {
		stamp.inode = status.Ino
		stamp.modified, stamp.changed = status.Mtim, status.Ctim
	}
	return stamp
}

// outdated reports whether the path has another stamp now.
func (s fileStamp) outdated() bool {
	return statOf(s.path) != s
}

// recent reports whether the path has changed so recently that another change
// could leave it with the same stamp.
func (s fileStamp) recent() bool {
	age := time.Since(time.Unix(s.changed.Unix()))
	return age < granularity && age > -granularity
}
