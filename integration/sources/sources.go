// Package sources brings together all that names ports — specifications of the
// command line, the list of ports, Shadowsocks configurations — and notices
// when one of them has changed.
package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
)

// ErrNoList says that the list of ports does not exist (yet), for errors.Is;
// fs.ErrNotExist is then true too.
var ErrNoList = errors.New("there is no list of ports yet: run ssmonitor setup, or name ports with --port or --shadowsocks")

// Sources is where the ports come from. Each field may be empty.
type Sources struct {
	// Ports were named one by one. A name given here is preferred to that of
	// any other source, without a note.
	Ports []accounting.Port
	// List is the path of the list of ports.
	List string
	// Shadowsocks are the paths of configurations, and of directories of them.
	Shadowsocks []string
	// SearchRoot is the directory below which the usual places are searched for
	// Shadowsocks configurations, / outside of tests. The search is done anew
	// by each Load, but what it found is not watched.
	SearchRoot string
	// HostAddresses returns the addresses of this host, by which a client's
	// configuration is told from a server's; nil stands for [HostAddresses]. It
	// is called where configurations are read only.
	HostAddresses func() ([]netip.Addr, error)
}

// Result is what the sources said at one time.
type Result struct {
	Ports accounting.Ports
	// Configs are the Shadowsocks configurations that were read.
	Configs []shadowsocks.Config
	// Notes are what is worth a line in the log though nothing failed: files
	// that were skipped, and ports to which two sources give different names.
	Notes []error
}

// Follower reads sources and notices their changes. It is not safe for
// concurrent use.
type Follower struct {
	sources Sources
	// What the last Load saw.
	result Result
	err    error
	seen   []stamp
}

// Follow returns a follower of the sources; nothing is read before Load.
func Follow(sources Sources) *Follower {
	if sources.HostAddresses == nil {
		sources.HostAddresses = HostAddresses
	}
	return &Follower{sources: sources}
}

// Load reads all sources. If any of them fails, the error tells of all that
// do, each naming its file, and the ports are empty: the caller goes on with
// those in force. A list that does not exist is ErrNoList; if that is all, the
// ports are those of the other sources. Configs and Notes are there with an
// error, too.
func (f *Follower) Load() (Result, error) {
	f.result, f.seen, f.err = read(&f.sources)
	return f.result, f.err
}

// Changed tells whether a source has changed since the last Load: a file was
// written, replaced, added or removed. It stays true until Load is called,
// whether that succeeds or fails. It looks at the files' attributes only; but
// after a Load right behind a change the attributes can't show another one yet,
// so that the files are read again to compare.
func (f *Follower) Changed() bool {
	recent := slices.ContainsFunc(f.seen, stamp.recent)
	if slices.ContainsFunc(f.seen, stamp.outdated) {
		return true
	}
	if !recent {
		return false
	}
	result, seen, err := read(&f.sources)
	if !slices.Equal(result.Ports, f.result.Ports) || fmt.Sprint(err, result.Notes) != fmt.Sprint(f.err, f.result.Notes) {
		return true
	}
	f.seen = seen
	return false
}

// loading is one reading of all sources under way.
type loading struct {
	sources  *Sources
	seen     []stamp
	listed   []accounting.Port
	configs  []shadowsocks.Config
	notes    []error
	failures []error
}

// read reads the sources and returns the stamps of all that was read.
func read(sources *Sources) (Result, []stamp, error) {
	loading := loading{sources: sources}
	loading.list()
	loading.configurations()
	result, err := loading.result()
	return result, loading.seen, err
}

// watch takes the stamp of a path that is about to be read: what changes in
// between has another one.
func (l *loading) watch(path string) {
	l.seen = append(l.seen, take(path))
}

func (l *loading) fail(err error) {
	if err != nil {
		l.failures = append(l.failures, err)
	}
}

func (l *loading) list() {
	path := l.sources.List
	if path == "" {
		return
	}
	l.watch(path)
	ports, err := portlist.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (%w)", ErrNoList, err)
	}
	l.fail(err)
	l.listed = ports
}

func (l *loading) configurations() {
	if len(l.sources.Shadowsocks) == 0 && l.sources.SearchRoot == "" {
		return
	}
	hostAddresses, err := l.sources.HostAddresses()
	if err != nil {
		l.fail(fmt.Errorf("asking for the addresses of this host: %w", err))
		return
	}
	for _, path := range l.sources.Shadowsocks {
		l.watch(path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			l.directory(path, hostAddresses)
			continue
		}
		config, err := shadowsocks.Read(path, hostAddresses)
		if err != nil {
			l.fail(err)
			continue
		}
		l.configs = append(l.configs, config)
	}
	if root := l.sources.SearchRoot; root != "" {
		configs, notes, err := shadowsocks.Search(root, hostAddresses)
		l.fail(err)
		l.configs = append(l.configs, configs...)
		l.notes = append(l.notes, notes...)
	}
}

// directory watches each file of the directory, since that a file is written
// to does not show in the directory itself.
func (l *loading) directory(path string, hostAddresses []netip.Addr) {
	files, err := shadowsocks.ListDirectory(path)
	if err != nil {
		l.fail(err)
		return
	}
	for _, file := range files {
		l.watch(file)
	}
	configs, notes, err := shadowsocks.ReadDirectory(path, hostAddresses)
	l.fail(err)
	l.configs = append(l.configs, configs...)
	l.notes = append(l.notes, notes...)
}

func (l *loading) result() (Result, error) {
	if len(l.failures) > 0 && !l.lacksListOnly() {
		return Result{Configs: l.configs, Notes: l.notes}, errors.Join(l.failures...)
	}
	explicit, conflicts := accounting.Union(l.sources.Ports)
	lists := [][]accounting.Port{l.listed}
	for _, config := range l.configs {
		lists = append(lists, config.Ports)
	}
	read, _ := accounting.Union(lists...)
	ports, more := accounting.Union(append([][]accounting.Port{naming(explicit, read)}, lists...)...)
	for _, conflict := range more {
		if port, _ := explicit.Find(conflict.Port); port.Name == "" {
			conflicts = append(conflicts, conflict)
		}
	}
	for _, conflict := range conflicts {
		l.notes = append(l.notes, fmt.Errorf("port %d has two names, %q and %q: the first is used; choose with --port %d=NAME",
			conflict.Port, conflict.Kept, conflict.Lost, conflict.Port))
	}
	return Result{Ports: ports, Configs: l.configs, Notes: l.notes}, errors.Join(l.failures...)
}

func (l *loading) lacksListOnly() bool {
	return len(l.failures) == 1 && errors.Is(l.failures[0], ErrNoList)
}

// naming returns the explicit ports, of which those that are named, without a
// protocol, and given by a file as well, only name it: the file says what it is
// counted for.
func naming(explicit, read accounting.Ports) accounting.Ports {
	named := slices.Clone(explicit)
	for i, port := range named {
		if given, found := read.Find(port.Number); found && port.Name != "" && port.Protocols == accounting.TCPAndUDP {
			named[i].Protocols = given.Protocols
		}
	}
	return named
}

// HostAddresses returns the addresses of the network interfaces of this host.
func HostAddresses() ([]netip.Addr, error) {
	networks, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, network := range networks {
		if prefix, err := netip.ParsePrefix(network.String()); err == nil {
			addresses = append(addresses, prefix.Addr())
		}
	}
	return addresses, nil
}
