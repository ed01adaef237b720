package processes

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ssmonitor/accounting"
)

// errEnded means that a process has ended while it was looked at.
var errEnded = errors.New("the process has ended")

// maxServers is above what any host runs, with ss-manager's server for each port.
const maxServers = 1 << 12

// Host is where processes are looked for.
type Host struct {
	// Proc is where procfs is mounted: /proc outside of tests.
	Proc string
	// Listeners returns the sockets of the network namespace at which programs receive
	// connections, or datagrams of anybody.
	Listeners func() ([]Listener, error)
	// Interval is the time between two looks at the servers, by who follows them; 10 s
	// if it is 0.
	Interval time.Duration
}

// ID distinguishes a server from those before and after it.
type ID struct {
	PID     int
	Start   uint64 // in hundredths of a second since the system was booted
	Program string
}

// Server is a running server.
type Server struct {
	ID
	// Several is set if it serves other protocols as well: a port at which it listens
	// may be of one of these.
	Several bool
	// Files and Directories are the configurations that it was started with. A path
	// stays relative if the working directory is hidden from this process.
	Files, Directories []string
	// Ports are those of its command line.
	Ports []accounting.Port
	// Elsewhere is set if it has another root directory: its paths mean other files.
	Elsewhere bool
	// Hidden is set if this process may not see its sockets.
	Hidden bool

	program *program
	named   named
	user    user
}

// Look returns the servers that run, the one that was started first at the beginning. It
// does not look for what they use, which makes it cheap.
func (h *Host) Look() ([]ID, error) {
	servers, err := h.look()
	ids := make([]ID, len(servers))
	for i, server := range servers {
		ids[i] = server.ID
	}
	return ids, err
}

// Found is what runs at one time.
type Found struct {
	// Servers are those of root before any other's, and then the one that was started
	// first at the beginning.
	Servers []Server

	host *Host
}

// Find returns the servers that run. It leaves out one that ends meanwhile.
func (h *Host) Find() (*Found, error) {
	servers, err := h.look()
	if err != nil {
		return nil, err
	}
	root := h.root("thread-self")
	found := &Found{host: h}
	for _, server := range servers {
		if h.describe(&server, root) == nil {
			found.Servers = append(found.Servers, server)
		}
	}
	slices.SortStableFunc(found.Servers, func(a, b Server) int {
		switch {
		case a.Root() == b.Root():
			return 0
		case a.Root():
			return -1
		}
		return 1
	})
	return found, nil
}

// look returns the servers in the network namespace.
func (h *Host) look() (servers []Server, err error) {
	names, err := h.list()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	namespace, err := h.namespace("thread-self")
	if err != nil {
		return nil, fmt.Errorf("looking for running servers: %w", err)
	}
	for _, name := range names {
		server, ok := h.server(name)
		if !ok {
			continue
		}
		if other, err := h.namespace(name); err != nil || other != namespace {
			continue
		}
		if servers = append(servers, server); len(servers) > maxServers {
			return nil, fmt.Errorf("looking for running servers: more than %d: name their configurations with --shadowsocks", maxServers)
		}
	}
	slices.SortFunc(servers, func(a, b Server) int { return cmp.Or(cmp.Compare(a.Start, b.Start), a.PID-b.PID) })
	return servers, nil
}

// list returns the numbers of the processes: none where procfs is not mounted, as in a
// bare chroot.
func (h *Host) list() ([]string, error) {
	directory, err := os.Open(h.Proc)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for running servers: %w", err)
	}
	defer directory.Close() //nolint:errcheck // nothing was written
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("looking for running servers: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.Trim(name, "0123456789") != "" }), nil
}

// server returns the server that a process is. To read a command line needs a lock of the
// process, which may hold it for long: only those of candidates are read.
func (h *Host) server(pid string) (Server, bool) {
	if !candidate(h.comm(pid)) {
		return Server{}, false
	}
	p, ok := h.process(pid)
	if !ok {
		return Server{}, false
	}
	arguments := h.arguments(p.pid)
	program, arguments := identify(p.comm, arguments, func() string {
		directory, _ := os.Readlink(h.path(p.pid, "cwd"))
		return directory
	})
	if program == nil {
		return Server{}, false
	}
	named := program.parse(arguments)
	return Server{
		ID: ID{p.pid, p.start, program.name}, Several: program.several, program: program, named: named,
	}, !program.dual || len(named.ports) > 0
}

// describe adds what the server uses.
func (h *Host) describe(s *Server, root string) error {
	var err error
	if s.user, err = h.user(s.PID); err != nil {
		return err
	}
	_, err = os.Readlink(h.path(s.PID, "ns/net"))
	s.Hidden = errors.Is(err, fs.ErrPermission)
	s.Elsewhere = root == "" || h.root(strconv.Itoa(s.PID)) != root
	directory := s.named.workdir
	if !filepath.IsAbs(directory) { // otherwise the server has gone there
		directory, _ = os.Readlink(h.path(s.PID, "cwd"))
	}
	s.Ports = s.named.ports
	s.Files, s.Directories = absolute(directory, s.named.files), absolute(directory, s.named.directories)
	if s.named.usual && filepath.IsAbs(s.Files[0]) && !exists(s.Files[0]) {
		s.Files = nil
	}
	if now, alive := h.process(strconv.Itoa(s.PID)); !alive || now.start != s.Start {
		return errEnded // what was read since may be another's, such as root's
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func absolute(directory string, paths []string) []string {
	for i, path := range paths {
		if !filepath.IsAbs(path) {
			paths[i] = filepath.Join(directory, path)
		} else {
			paths[i] = filepath.Clean(path)
		}
	}
	return paths
}
