package sources

import (
	"cmp"
	"slices"
	"syscall"
	"time"

	"ssmonitor/integration/processes"
	"ssmonitor/integration/shadowsocks"
)

const (
	// granularity is longer than the steps in which kernels record the times of
	// local files, at most 10 ms.
	granularity = 100 * time.Millisecond
	// looks bounds the processor time of one look, in system calls: a few thousandths
	// of a second.
	looks = 2048
)

// sight is the states of everything that was read, as they were just before.
type sight struct {
	first   []fileState // compared at each look: what was named, and where files may appear
	others  []fileState // the files of directories, compared in turns
	next    int         // of others
	servers serverSight
	changed bool // whether a look has found that
	recent  bool // whether anything changed so recently that another change may leave it in the same state
}

// add adds the state of a path to first or to others.
func (s *sight) add(states *[]fileState, path string) {
	state := stateOf(path)
	age := time.Since(time.Unix(state.changed.Unix()))
	s.recent = s.recent || age < granularity && age > -granularity
	*states = append(*states, state)
}

// outdated reports whether any look has found another state. There may be any number
// of files, so that one look compares a part of them, and later looks the rest.
func (s *sight) outdated() bool {
	s.changed = s.changed || slices.ContainsFunc(s.first, fileState.outdated) || s.servers.outdated()
	left := looks
	for range s.others {
		if s.changed || left <= 0 {
			break
		}
		state := s.others[s.next]
		s.changed = state.outdated()
		s.next = (s.next + 1) % len(s.others)
		left -= state.cost()
	}
	return s.changed
}

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
	var status syscall.Stat_t
	for {
		err := syscall.Stat(path, &status)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			return state
		}
	}
	state.inode, state.size = status.Ino, status.Size
	state.modified, state.changed = status.Mtim, status.Ctim
	state.stopped = shadowsocks.Stopped(path)
	return state
}

// outdated reports whether the path has another state now.
func (s fileState) outdated() bool {
	return stateOf(s.path) != s
}

// identity distinguishes files, whatever their names.
type identity struct{ device, inode uint64 }

// identify returns the identity of the file to which the path leads.
func identify(path string) (identity, bool) {
	var status syscall.Stat_t
	if err := syscall.Stat(path, &status); err != nil {
		return identity{}, false
	}
	return identity{status.Dev, status.Ino}, true
}

// cost returns about how many system calls the state takes.
func (s fileState) cost() int {
	if shadowsocks.Managed(s.path) {
		return 16
	}
	return 1
}

const (
	// lookInterval is the time between two looks at the running servers.
	lookInterval = 10 * time.Second
	// lookShare bounds the processor time of the looks where there are very many
	// processes, to a hundredth.
	lookShare = 100
)

// serverSight is which servers ran at the last look.
type serverSight struct {
	host     *processes.Procfs
	interval time.Duration // between two looks
	ids      []processes.ID
	young    bool // whether one may not listen yet
	next     time.Time
}

func (s *serverSight) look() {
	begin := time.Now()
	s.ids, _ = s.host.Look() // Load reports the error
	s.young = slices.ContainsFunc(s.ids, processes.ID.Young)
	end := time.Now()
	s.next = end.Add(max(cmp.Or(s.interval, lookInterval), lookShare*end.Sub(begin)))
}

// outdated reports whether a server was started or has ended since the last look, or was
// so young then that it may listen only now.
func (s *serverSight) outdated() bool {
	if s.host == nil || time.Now().Before(s.next) {
		return false
	}
	before := *s
	s.look()
	return before.young || !slices.Equal(before.ids, s.ids)
}
