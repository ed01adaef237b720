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

// fileState distinguishes the states of a path without reading the file. If
// there is nothing at the path, all fields but the path are zero.
type fileState struct {
	path              string
	inode             uint64
	size              int64
	modified, changed syscall.Timespec // mtime; ctime, which also shows a chmod
	stopped           bool             // whether the server of the configuration is known to have ended
}

// stateOf returns the state of the path now, following symbolic links.
func stateOf(path string) fileState {
	state := fileState{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return state
	}
	state.size, state.stopped = info.Size(), shadowsocks.Stopped(path)
	if status, ok := info.Sys().(*syscall.Stat_t); ok {
		state.inode = status.Ino
		state.modified, state.changed = status.Mtim, status.Ctim
	}
	return state
}

// outdated reports whether the path has another state now.
func (s fileState) outdated() bool {
	return stateOf(s.path) != s
}

// recent reports whether the path has changed so recently that another change
// could leave it in the same state.
func (s fileState) recent() bool {
	age := time.Since(time.Unix(s.changed.Unix()))
	return age < granularity && age > -granularity
}
