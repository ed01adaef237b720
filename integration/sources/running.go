package sources

import (
	"slices"
	"time"

	"ssmonitor/integration/processes"
)

const (
	// lookInterval is the time between two looks at the running servers.
	lookInterval = 10 * time.Second
	// lookShare bounds the processor time of the looks where there are very many
	// processes, to a hundredth.
	lookShare = 100
)

// serverSight is which servers ran at the last look.
type serverSight struct {
	host  *processes.Host
	ids   []processes.ID
	young bool // whether one may not listen yet
	next  time.Time
}

func (s *serverSight) look(host *processes.Host) {
	begin := time.Now()
	s.host = host
	s.ids, _ = host.Look() // Load reports the error
	s.young = slices.ContainsFunc(s.ids, processes.ID.Young)
	end := time.Now()
	interval := host.Interval
	if interval == 0 {
		interval = lookInterval
	}
	s.next = end.Add(max(interval, lookShare*end.Sub(begin)))
}

// outdated reports whether a server was started or has ended since the last look, or was
// so young then that it may listen only now.
func (s *serverSight) outdated() bool {
	if s.host == nil || time.Now().Before(s.next) {
		return false
	}
	before := *s
	s.look(s.host)
	return before.young || !slices.Equal(before.ids, s.ids)
}
