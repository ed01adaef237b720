// Package sources combines everything that names ports (the file of clients,
// specifications on the command line, the list of ports, Shadowsocks configurations) and
// notices when one of them has changed. The ports are those of all of them. Of several
// names for a port, the file of clients decides, then the command line or the settings
// file, then the list, then configurations.
package sources

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
	"ssmonitor/integration/shadowsocks"
)

// ErrNoList means that the list of ports does not exist (yet), for errors.Is.
// Such an error is fs.ErrNotExist as well.
var ErrNoList = errors.New("there is no list of ports yet: run ssmonitor setup, or name ports with --port or --shadowsocks")

// ErrClients means that the file of clients can't be read, for errors.Is.
var ErrClients = errors.New("until this is corrected, the names and ports of before stay in force")

// PartialError means that nothing failed but the reading of the list of ports, which is
// missing, or of the file of clients. The ports are those of the other sources, and of
// these two as an earlier Load has read them. Inspect it with errors.As.
type PartialError struct{ err error }

// Error returns what failed.
func (e *PartialError) Error() string { return e.err.Error() }

// Unwrap returns what failed: ErrNoList, ErrClients or both.
func (e *PartialError) Unwrap() error { return e.err }

// Flag is the source of the ports that were named one by one.
const Flag = "--port"

// Sources is where the ports come from. Each field may be empty.
type Sources struct {
	// Ports were named one by one. A name given here is preferred to that of
	// any other source but Clients, without a note.
	Ports []accounting.Port
	// PortFile is the settings file, if that gives Ports; empty: see [Flag].
	PortFile string
	// Targets are where the host forwards Ports, as far as that was named.
	Targets []accounting.Target
	// Clients is the path of the file of clients, which may be missing. Its names are
	// preferred to all others, with a note.
	Clients string
	// ClientChanges are about to be made there: the file is read as it will be.
	ClientChanges []clients.Change
	// List is the path of the list of ports.
	List string
	// Shadowsocks are the paths of configurations, and of directories of them.
	Shadowsocks []string
	// Servers are like Shadowsocks, but every configuration is read as a
	// server's.
	Servers []string
	// AnyProtocol also takes the ports of other protocols from configurations.
	AnyProtocol bool
	// SearchRoot is the directory below which the usual places are searched for
	// Shadowsocks configurations, / outside of tests. A file that can't be read
	// is a note.
	SearchRoot string
	// Earlier is the path of the list that the last setup wrote. If the search
	// can't read a file any more, its ports in that list are kept.
	Earlier string
	// Processes are asked for running servers as well, if SearchRoot is set: nil
	// outside of setup and check.
	Processes *processes.Procfs
	// LookInterval is the time between two looks at the servers; 10 s if it is 0.
	LookInterval time.Duration
	// Following keeps the ports of a server that has ended: it may start again.
	Following bool
	// Watched are paths whose change is a change of the sources too, such as that
	// of the settings. Load does not read them.
	Watched []string
	// Host returns what is known of this host. It distinguishes a client's
	// configuration from a server's, and is called only if configurations are
	// read; nil stands for the one that the kernel and /etc/hosts know.
	Host func() (shadowsocks.LocalHost, error)
	// Progress is called before each configuration is read; it may be nil.
	Progress func()
}

// Result is what the sources said at one time.
type Result struct {
	Ports accounting.Ports
	// Targets are where the host forwards the ports, as far as the command line or
	// the list names that: sorted and each once, for the protocols that a port
	// counts.
	Targets []accounting.Target
	// Entries are the same ports with their sources and targets.
	Entries []portlist.Entry
	// Clients are those of the file of clients; nil if there is none, or none that can be
	// read.
	Clients *clients.File
	// Configs are the Shadowsocks configurations that were read.
	Configs []shadowsocks.Config
	// Notes are worth a line in the log though nothing failed: files that were
	// skipped, and ports to which two sources give different names, one of which may be
	// an *[OverruledError].
	Notes []error
}

// Follower reads sources and notices their changes. It is not safe for
// concurrent use.
type Follower struct {
	sources Sources
	// What the last Load saw.
	ports   accounting.Ports
	targets []accounting.Target
	said    string // its error and its notes
	seen    sight
	// What any Load has read last.
	memory memory
}

// Follow returns a follower of the sources. It reads nothing before Load.
func Follow(sources Sources) *Follower {
	if sources.Host == nil {
		sources.Host = thisHost
	}
	if sources.Progress == nil {
		sources.Progress = func() {}
	}
	return &Follower{sources: sources}
}

// Watch returns a follower of paths that somebody else reads; an empty one is none.
func Watch(paths ...string) *Follower {
	f := Follow(Sources{Watched: slices.DeleteFunc(paths, func(path string) bool { return path == "" })})
	_, _ = f.Load() // reads nothing
	return f
}

// Places returns what has to be opened to load the sources as they are now: see
// [Sources.Places].
func (f *Follower) Places() []Place { return f.sources.Places() }

// Load reads all sources. If any of them fails, the error contains all failures,
// each with its file, and the ports are empty, unless the error is a *[PartialError]: the
// caller goes on with those in force. Configs and Notes are returned with an error as well.
func (f *Follower) Load() (Result, error) {
	result, seen, err := read(&f.sources, &f.memory)
	f.ports, f.targets, f.said, f.seen = result.Ports, result.Targets, said(result, err), seen
	return result, err
}

// Changed reports whether a source has changed since the last Load: a file was
// written, replaced, added or removed. It remains true until Load is called,
// whether that succeeds or fails. It compares the files' attributes; if there are
// thousands of files in directories, each call compares some of them, in turns. It reads
// the files again only if one was changed so shortly before the last Load that another
// change might not show in its attributes.
func (f *Follower) Changed() bool {
	if f.seen.outdated() {
		return true
	}
	if !f.seen.recent {
		return false
	}
	if len(f.sources.Watched) > 0 {
		return true // what is in them is not known here
	}
	result, seen, err := read(&f.sources, &f.memory)
	if !slices.Equal(result.Ports, f.ports) || !slices.Equal(result.Targets, f.targets) || said(result, err) != f.said {
		f.seen.changed = true
		return true
	}
	f.seen = seen
	return false
}

func said(result Result, err error) string { return fmt.Sprint(err, result.Notes) }
