package sources

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/sockdiag"
)

const (
	processMark = "process "
	// ofArguments and ofSockets stand in place of the path of a configuration.
	ofArguments = "command line"
	ofSockets   = "sockets"
	// maxOthersNotes is the most notes on servers of other users than root.
	maxOthersNotes = 8
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
	given       map[string]bool  // the sources that there are now
	known       accounting.Ports // of sources that no server gives, and then also of files that servers name
	listed      int              // files in directories that servers name
	othersNotes int              // on servers of other users than root
	hidden      map[string]bool  // the sources of the last setup in place of paths whose directory is hidden
}

// findServers looks for the servers that run. What root started one with that serves
// Shadowsocks only is a server's configuration, whatever address is in it.
func (l *loading) findServers() {
	if l.sources.Processes == nil {
		return
	}
	l.seen.servers = serverSight{host: l.sources.Processes, interval: l.sources.LookInterval}
	l.seen.servers.look()
	found, err := l.sources.Processes.Find()
	if err != nil {
		l.note(fmt.Errorf("%w; the ports that running servers had stay counted", err))
		return
	}
	l.servers = found
	if found.More > 0 {
		l.note(fmt.Errorf("%d running servers are not asked, since there are too many: name their configurations with --shadowsocks", found.More))
	}
	for _, server := range found.Servers {
		if server.Several || !server.IsRoots() {
			continue
		}
		for _, path := range server.Files {
			if resolved, err := server.Resolve(path); err == nil {
				l.inUse[path], l.inUse[resolved] = true, true
			}
		}
	}
}

// askServers adds the configurations that the running servers were started with, and, of
// root's servers, the ports of their command lines and those at which they listen, if
// nothing else explains them.
func (l *loading) askServers() {
	if l.sources.Processes == nil {
		return
	}
	if l.sources.Following {
		l.watch(l.sources.Earlier) // setup as root may find more
	}
	r := running{loading: l, given: make(map[string]bool), hidden: make(map[string]bool)}
	r.known, _ = l.merge()
	if l.servers == nil {
		r.keepUnseen()
		return
	}
	explained := make([]bool, len(l.servers.Servers))
	for i, server := range l.servers.Servers {
		explained[i] = r.readConfigurations(server) || len(server.Ports) > 0
	}
	r.known, _ = l.merge()
	r.listening(explained)
	r.keepUnseen()
}

// readConfigurations reads those that the server was started with, unless another source has,
// and reports whether they say which ports it has.
func (r *running) readConfigurations(server processes.Server) (explained bool) {
	if server.SeesOtherFiles() {
		return false
	}
	var group shadowsocks.Group
	asNamed := make(map[string]string) // the paths as the server names them, by where they lead
	add := func(path string) {
		resolved, found := r.find(server, path)
		switch {
		case !found:
		case r.startReading(resolved, false):
			if !server.IsRoots() { // who may lead a link elsewhere later
				path = resolved
				r.given[processSource(server.Program, path)] = true
			}
			group.Paths, asNamed[resolved] = append(group.Paths, resolved), path
		default:
			explained = true // as far as another source does
		}
	}
	each := func(paths []string, do func(path string)) {
		for _, path := range paths {
			var earlier []string
			if !filepath.IsAbs(path) {
				earlier = r.lastSetup.below(server.Program, path)
			}
			for _, source := range earlier {
				r.hidden[source], explained = true, true
			}
			if len(earlier) == 0 {
				do(path)
			}
		}
	}
	each(server.Files, add)
	each(server.Directories, func(directory string) {
		for _, path := range r.directory(server, directory) {
			add(path)
		}
	})
	var harmless []error
	group.Read = func(part shadowsocks.Part) (shadowsocks.Config, bool, error) {
		switch read, err := r.file(server, asNamed[part.Path], part); {
		case read:
			explained = true
		case err != nil:
			harmless = append(harmless, err)
		}
		return shadowsocks.Config{}, false, nil // its own notes say why
	}
	group.Load(r.sources.Progress)
	if !explained { // otherwise they are parts of one configuration
		for _, err := range harmless {
			r.note(err)
		}
	}
	return explained || len(harmless) > 0
}

// find returns where a file or directory is that the server names, or notes why it does
// not count.
func (r *running) find(server processes.Server, path string) (resolved string, found bool) {
	r.sources.Progress()
	r.given[processSource(server.Program, path)] = true
	resolved, err := server.Resolve(path)
	if err != nil {
		r.notRead(server, path, err)
	}
	return resolved, err == nil
}

// directory returns the files of a directory of configurations, unless it was read before.
func (r *running) directory(server processes.Server, directory string) []string {
	resolved, found := r.find(server, directory)
	if !found || !r.startReading(resolved, false) {
		return nil
	}
	r.watch(directory)
	files, err := shadowsocks.ListDirectory(resolved, maxFiles-max(r.taken.files, r.listed))
	if err != nil {
		r.notRead(server, directory, err)
	}
	r.listed += len(files)
	return files
}

// file reads a configuration, and reports whether that names ports. It returns an error if
// the file certainly names none; any other is noted.
func (r *running) file(server processes.Server, path string, part shadowsocks.Part) (read bool, harmless error) {
	if shadowsocks.IsDatabase(part.Path) { // a panel's, which no server reads
		return false, nil
	}
	err := r.readAs(processSource(server.Program, path), path, part)
	switch {
	case shadowsocks.Harmless(err):
		return false, err
	case err != nil:
		r.notRead(server, path, err)
	}
	return err == nil, nil
}

// readAs reads a configuration, and adds its ports as those of the source and the path.
func (r *running) readAs(source, path string, part shadowsocks.Part) error {
	r.watchFile(path, &r.seen.others)
	_, read, err := r.readPart(part, false, false)
	if read && err == nil {
		added := &r.configs[len(r.configs)-1]
		added.Path, added.Ports = path, r.unnamed(added.Ports)
		r.origins[path] = source
	}
	return err
}

// unnamed returns the ports without the names of those that another source has: what an
// administrator configured is preferred to what a panel makes of it.
func (r *running) unnamed(ports []accounting.Port) []accounting.Port {
	ports = slices.Clone(ports)
	for i, port := range ports {
		if _, found := r.known.Find(port.Number); found {
			ports[i].Name = ""
		}
	}
	return ports
}

// notRead notes why a configuration is not read, and keeps the ports that it had. In a
// setup by hand, no other user than root keeps ports.
func (r *running) notRead(server processes.Server, path string, why error) {
	source := processSource(server.Program, path)
	why = fmt.Errorf("configuration of the running %s: %w", server.Program, why)
	if server.IsRoots() || r.sources.Following && len(r.lastSetup[source]) > 0 {
		r.keepPorts(source, why)
		return
	}
	r.noteOther(why)
}

// addPorts adds ports that a server gives without a configuration.
func (r *running) addPorts(source string, ports []accounting.Port) {
	if len(ports) == 0 {
		return
	}
	if err := r.taken.read.add(source, ports); err != nil {
		r.note(err)
		return
	}
	r.others = append(r.others, sourcePorts{source, ports})
}

// unexplained returns the ports that nothing but a command line or a socket names.
func (r *running) unexplained(ports []accounting.Port) []accounting.Port {
	return slices.DeleteFunc(slices.Clone(ports), func(port accounting.Port) bool {
		_, found := r.known.Find(port.Number)
		return found
	})
}

// listening adds the ports of command lines, and those at which servers listen though
// nothing else explains it. It notes those that may be of another protocol, and those of
// other users than root.
func (r *running) listening(explained []bool) {
	typed := make(map[uint16]bool)
	for _, server := range r.servers.Servers {
		if !server.IsRoots() {
			continue
		}
		ports := r.unexplained(server.Ports)
		r.addPorts(processSource(server.Program, ofArguments), ports)
		for _, port := range ports {
			typed[port.Number] = true
		}
	}
	perServer, err := r.servers.Listening(func(listener sockdiag.ListeningSocket) bool {
		_, found := r.known.Find(listener.Port)
		return !found && !typed[listener.Port]
	})
	if err != nil {
		r.note(fmt.Errorf("the ports at which servers listen are unknown: %w", err))
	}
	for i, server := range r.servers.Servers {
		ports := perServer[i]
		switch {
		case !server.IsRoots():
			all, _ := accounting.Union(ports, r.unexplained(server.Ports))
			r.noteOthersPorts(server, all)
		case len(ports) == 0:
		case !server.Several:
			r.addPorts(processSource(server.Program, ofSockets), ports)
		case !explained[i]:
			r.note(fmt.Errorf("the running %s listens at %s, and no configuration that was found says which of them is Shadowsocks': "+
				"name the file with --shadowsocks, or the port with --port", server.Program, describe(ports)))
		}
	}
	if more := r.othersNotes - maxOthersNotes; more > 0 {
		r.note(fmt.Errorf("%d more notes on running servers of other users than root are not shown", more))
	}
}

// noteOthersPorts notes ports that do not count, since any user may start a program under any
// name.
func (r *running) noteOthersPorts(server processes.Server, ports []accounting.Port) {
	if len(ports) > 0 {
		r.noteOther(fmt.Errorf("%s (process %d of user %s) listens on %s: name it with --port, if it is to be counted",
			server.Program, server.PID, server.User(), describe(ports)))
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

// noteOther notes something of another user's server. Any user may start thousands.
func (r *running) noteOther(err error) {
	if r.othersNotes++; r.othersNotes <= maxOthersNotes {
		r.note(err)
	}
}
