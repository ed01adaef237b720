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

	"ssmonitor/accounting"
	"ssmonitor/internal/sockdiag"
)

// errEnded means that a process has ended while it was looked at.
var errEnded = errors.New("the process has ended")

// maxServers is above what any host runs, with ss-manager's server for each port. There
// may be as many of root and as many of others.
const maxServers = 1 << 12

// Procfs is where processes are looked for.
type Procfs struct {
	// Proc is its directory: /proc outside of tests.
	Proc string
	// Listeners returns the sockets of the network namespace at which programs receive
	// connections, or datagrams of anybody.
	Listeners func(accounting.Protocols) ([]sockdiag.ListeningSocket, error)
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
	// Hidden is set if this process may not see its sockets.
	Hidden bool

	program *program
	line    commandLine
	owner   account
	view    view
}

// Look returns the servers that run, in the order of [Found]. It does not look for what
// they use, which makes it cheap.
func (h *Procfs) Look() ([]ID, error) {
	servers, _, err := h.look()
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
	// More is how many further ones were left out, since there are too many.
	More int

	host *Procfs
}

// Find returns the servers that run. It leaves out one that ends meanwhile.
func (h *Procfs) Find() (*Found, error) {
	servers, more, err := h.look()
	if err != nil {
		return nil, err
	}
	own := h.mounts("thread-self")
	found := &Found{More: more, host: h}
	for _, server := range servers {
		if h.describe(&server, own) == nil {
			found.Servers = append(found.Servers, server)
		}
	}
	return found, nil
}

// look returns the servers in the network namespace, and how many more there are.
func (h *Procfs) look() (servers []Server, more int, err error) {
	names, err := h.list()
	if err != nil || len(names) == 0 {
		return nil, 0, err
	}
	namespace, err := h.namespace("thread-self")
	if err != nil {
		return nil, 0, fmt.Errorf("looking for running servers: %w", err)
	}
	var others []Server
	for _, name := range names {
		server, ok := h.server(name)
		if !ok {
			continue
		}
		if other, err := h.namespace(name); err != nil || other != namespace {
			continue
		}
		group := &others
		if server.IsRoots() {
			group = &servers
		}
		if len(*group) == maxServers {
			more++
			continue
		}
		*group = append(*group, server)
	}
	for _, group := range [][]Server{servers, others} {
		slices.SortFunc(group, func(a, b Server) int { return cmp.Or(cmp.Compare(a.Start, b.Start), a.PID-b.PID) })
	}
	return append(servers, others...), more, nil
}

// list returns the numbers of the processes: none where procfs is not mounted, as in a
// bare chroot.
func (h *Procfs) list() ([]string, error) {
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
func (h *Procfs) server(pid string) (Server, bool) {
	if !candidate(h.comm(pid)) {
		return Server{}, false
	}
	p, ok := h.stat(pid)
	if !ok {
		return Server{}, false
	}
	owner, err := h.owner(p.pid)
	if err != nil {
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
	line := program.parse(arguments)
	return Server{
		ID: ID{p.pid, p.start, program.name}, Several: program.role == servesSeveral, program: program, line: line, owner: owner,
	}, program.role != connects || len(line.ports) > 0
}

// describe adds what the server uses.
func (h *Procfs) describe(s *Server, own mounts) error {
	_, err := os.Readlink(h.path(s.PID, "ns/net"))
	s.Hidden = errors.Is(err, fs.ErrPermission)
	s.view = own.compare(h.mounts(strconv.Itoa(s.PID)))
	directory := s.line.workdir
	if !filepath.IsAbs(directory) { // otherwise the server has gone there
		directory, _ = os.Readlink(h.path(s.PID, "cwd"))
	}
	s.Ports = s.line.ports
	s.Files, s.Directories = absolute(directory, s.line.files), absolute(directory, s.line.directories)
	if s.line.usual && filepath.IsAbs(s.Files[0]) && !exists(s.Files[0]) {
		s.Files = nil
	}
	owner, err := h.owner(s.PID)
	if err != nil || owner.id != s.owner.id {
		return errEnded // as that user's: what was read may be of either
	}
	s.owner = owner
	if now, alive := h.stat(strconv.Itoa(s.PID)); !alive || now.start != s.Start {
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
