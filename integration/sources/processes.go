package sources

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
	"ssmonitor/integration/shadowsocks"
)

const (
	processMark = "process "
	// ofArguments and ofSockets stand in place of the path of a configuration.
	ofArguments = "command line"
	ofSockets   = "sockets"
)

// processSource returns the name of a source that a running server gives, as in
// "process ss-server: /srv/shadowsocks.json".
func processSource(program, what string) string { return processMark + program + ": " + what }

// OfProcess splits the name of a source that a running server gave: which program that is,
// and the path of its configuration, or in words what else names the ports.
func OfProcess(source string) (program, what string, ok bool) {
	source, marked := strings.CutPrefix(source, processMark)
	program, what, found := strings.Cut(source, ": ")
	return program, what, marked && found
}

// running is the reading of what running servers use.
type running struct {
	*loading
	earlier map[string][]accounting.Port
	given   map[string]bool  // the sources that there are now
	known   accounting.Ports // of other sources
	read    map[fileID]bool  // the files of all sources
}

type fileID struct{ device, inode uint64 }

// findServers looks for the servers that run. What one was started with that serves
// Shadowsocks only is a server's configuration, whatever address is in it.
func (l *loading) findServers() {
	if l.sources.Processes == nil {
		return
	}
	l.seen.servers.look(l.sources.Processes)
	found, err := l.sources.Processes.Find()
	if err != nil {
		l.note(fmt.Errorf("%w; the ports that running servers had stay counted", err))
		return
	}
	l.servers = found
	for _, server := range found.Servers {
		for _, path := range server.Files {
			if resolved, err := server.MayRead(path); err == nil && !server.Several {
				l.inUse[path], l.inUse[resolved] = true, true
			}
		}
	}
}

// running adds the configurations that the running servers were started with, the ports of
// their command lines, and those at which they listen though nothing else explains it.
func (l *loading) running() {
	if l.sources.Processes == nil {
		return
	}
	earlier, _ := l.earlier() // the search has noted the error
	known, _ := l.merge()
	r := running{loading: l, earlier: earlier, given: make(map[string]bool), known: known, read: l.filesSoFar()}
	if l.servers == nil {
		r.retain(func(string, string) bool { return true })
		return
	}
	explained := make([]bool, len(l.servers.Servers))
	for i, server := range l.servers.Servers {
		explained[i] = r.configurations(server) || len(server.Ports) > 0
		r.give(processSource(server.Program, ofArguments), server.Ports)
	}
	r.listening(explained)
	r.retainOthers()
}

func (l *loading) filesSoFar() map[fileID]bool {
	files := make(map[fileID]bool, len(l.done))
	for path := range l.done {
		if id, ok := idOf(path); ok {
			files[id] = true
		}
	}
	return files
}

func idOf(path string) (fileID, bool) {
	var status syscall.Stat_t
	err := syscall.Stat(path, &status)
	return fileID{status.Dev, status.Ino}, err == nil
}

// configurations reads those that the server was started with, and reports whether they
// say which ports it has.
func (r *running) configurations(server processes.Server) (explained bool) {
	if server.Elsewhere {
		return false
	}
	files := slices.Clip(server.Files)
	for _, directory := range server.Directories {
		files = append(files, r.directory(server, directory)...)
	}
	var readable []string
	for _, path := range files {
		if resolved, err := server.MayRead(r.absolute(server, path)); err == nil {
			readable = append(readable, resolved)
		}
	}
	parts := shadowsocks.NewParts(readable, r.options)
	var harmless []error
	for _, path := range files {
		switch read, err := r.file(server, path, parts); {
		case read:
			explained = true
		case err != nil:
			harmless = append(harmless, err)
		}
	}
	if !explained { // otherwise they are parts of one configuration
		for _, err := range harmless {
			r.note(err)
		}
	}
	return explained || len(harmless) > 0
}

// directory returns the files of a directory of configurations.
func (r *running) directory(server processes.Server, directory string) []string {
	directory = r.absolute(server, directory)
	resolved, err := server.MayRead(directory)
	var files []string
	if err == nil {
		r.watch(directory)
		files, err = shadowsocks.ListDirectory(resolved, maxFiles-r.taken.files)
	}
	if err != nil {
		r.notRead(server, directory, err)
	}
	return files
}

// absolute returns the path, or the one that an earlier setup found in its place if the
// working directory of the server is hidden from this process.
func (r *running) absolute(server processes.Server, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	for _, source := range slices.Sorted(maps.Keys(r.earlier)) {
		program, what, ok := OfProcess(source)
		if ok && program == server.Program && strings.HasSuffix(what, "/"+path) {
			return what
		}
	}
	return path
}

// file reads a configuration, and reports whether that or another source has read it. It
// returns an error if the file certainly names no port; any other is noted.
func (r *running) file(server processes.Server, path string, parts *shadowsocks.Parts) (read bool, harmless error) {
	path = r.absolute(server, path)
	resolved, err := server.MayRead(path)
	if err != nil {
		r.notRead(server, path, err)
		return false, nil
	}
	id, _ := idOf(resolved)
	if r.read[id] {
		return true, nil
	}
	r.read[id] = true
	if shadowsocks.IsDatabase(resolved) { // a panel's, which no server reads
		return false, nil
	}
	r.watchFile(path, &r.seen.others)
	before := len(r.configs)
	_, _, err = r.readPart(resolved, parts)
	switch {
	case shadowsocks.Skipped{Path: path, Err: err}.Harmless():
		return false, err
	case err != nil:
		r.notRead(server, path, err)
		return false, nil
	}
	source := processSource(server.Program, path)
	r.given[source] = true
	for i := before; i < len(r.configs); i++ {
		r.configs[i].Path, r.configs[i].Ports = path, r.unnamed(r.configs[i].Ports)
		r.origins[path] = source
	}
	return true, nil
}

// unnamed returns the ports without the names of those that another source has: what an
// administrator configured is preferred to what a panel makes of it, or any user.
func (r *running) unnamed(ports []accounting.Port) []accounting.Port {
	ports = slices.Clone(ports)
	for i, port := range ports {
		if _, found := r.known.Find(port.Number); found {
			ports[i].Name = ""
		}
	}
	return ports
}

// notRead notes why a configuration is not read, and keeps the ports that it had.
func (r *running) notRead(server processes.Server, path string, why error) {
	source := processSource(server.Program, path)
	r.given[source] = true
	r.keep(source, r.earlier, fmt.Errorf("configuration of the running %s: %w", server.Program, why))
}

// give adds ports that a server gives without a configuration.
func (r *running) give(source string, ports []accounting.Port) {
	if len(ports) == 0 {
		return
	}
	r.given[source] = true
	if err := r.taken.ports(source, ports); err != nil {
		r.note(err)
		return
	}
	r.kept = append(r.kept, kept{source, ports})
}

// listening adds the ports at which servers listen though nothing else explains it, and
// notes those that may be of another protocol.
func (r *running) listening(explained []bool) {
	known, _ := r.merge()
	perServer, err := r.servers.Listening(func(listener processes.Listener) bool {
		port, _ := known.Find(listener.Port)
		return !port.Protocols.Has(listener.Protocol)
	})
	if err != nil {
		r.note(fmt.Errorf("the ports at which servers listen are unknown: %w", err))
	}
	for i, server := range r.servers.Servers {
		ports := perServer[i]
		switch {
		case len(ports) == 0:
		case !server.Several:
			r.give(processSource(server.Program, ofSockets), ports)
		case !explained[i]:
			r.note(fmt.Errorf("the running %s listens at %s, and no configuration that was found says which of them is Shadowsocks': "+
				"name the file with --shadowsocks, or the port with --port", server.Program, describe(ports)))
		}
	}
}

func describe(ports []accounting.Port) string {
	const most = 8
	var texts []string
	for _, port := range ports[:min(len(ports), most)] {
		texts = append(texts, portlist.FormatSpec(port))
	}
	if more := len(ports) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

// retainOthers keeps the ports of sources that this process can't see, though they may
// be there: sockets of servers that are hidden from it, and, if the sources are
// followed, what servers use of which none runs at the moment.
func (r *running) retainOthers() {
	runs, hidden := make(map[string]bool), make(map[string]bool)
	for _, server := range r.servers.Servers {
		runs[server.Program] = true
		hidden[server.Program] = hidden[server.Program] || server.Hidden
	}
	r.retain(func(program, what string) bool {
		return what == ofSockets && hidden[program] || r.sources.Following && !runs[program]
	})
}

// retain keeps the ports of earlier sources that stay, unless another source has them now.
func (r *running) retain(stays func(program, what string) bool) {
	known, _ := r.merge()
	for _, source := range slices.Sorted(maps.Keys(r.earlier)) {
		program, what, ok := OfProcess(source)
		if !ok || r.given[source] || !stays(program, what) {
			continue
		}
		ports := slices.DeleteFunc(slices.Clone(r.earlier[source]), func(port accounting.Port) bool {
			given, _ := known.Find(port.Number)
			return port.Protocols&^given.Protocols == 0
		})
		r.fail(r.taken.keep(source, ports))
		r.kept = append(r.kept, kept{source, ports})
	}
}

// runningPlaces returns the paths that the running servers name, as far as they are read:
// those of root's servers, and of other users'.
func (s *Sources) runningPlaces() (roots, others []string) {
	if s.Processes == nil {
		return nil, nil
	}
	found, err := s.Processes.Find()
	if err != nil {
		return nil, nil // Load reports it
	}
	for _, server := range found.Servers {
		if server.Elsewhere {
			continue
		}
		for _, path := range server.Directories {
			if resolved, err := server.MayRead(path); err == nil {
				files, _ := shadowsocks.ListDirectory(resolved, maxFiles)
				server.Files = slices.Concat(server.Files, []string{path}, files)
			}
		}
		for _, path := range server.Files {
			switch _, err := server.MayRead(path); {
			case err != nil || shadowsocks.IsDatabase(path):
			case server.Root():
				roots = append(roots, path)
			default:
				others = append(others, path)
			}
		}
	}
	return roots, others
}
