package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
)

// lastSetup is the ports that the last setup found, by their sources.
type lastSetup map[string][]accounting.Port

// readLastSetup reads the list at the path: nothing if there is none yet.
func readLastSetup(path string) (lastSetup, error) {
	if path == "" {
		return nil, nil
	}
	entries, err := portlist.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	last := make(lastSetup)
	for _, entry := range entries {
		for _, source := range entry.Sources {
			last[source] = append(last[source], entry.Port)
		}
	}
	return last, err
}

// below returns the sources of a server of the program whose paths end with a relative one,
// or lead through it: it may be that of several servers.
func (s lastSetup) below(program, path string) (sources []string) {
	for source := range s {
		its, what, ok := OfProcess(source)
		if ok && its == program && strings.Contains(what+"/", "/"+path+"/") {
			sources = append(sources, source)
		}
	}
	return sources
}

func (l *loading) findLastSetup() {
	var err error
	if l.lastSetup, err = readLastSetup(l.sources.Earlier); err != nil {
		l.note(fmt.Errorf("the ports of the last setup are unknown: %w", err))
	}
}

// keepPorts keeps the ports that a source had, and notes why.
func (l *loading) keepPorts(source string, why error) {
	if ports := l.lastSetup[source]; len(ports) > 0 {
		l.addKept(source, ports)
		why = fmt.Errorf("%w; the ports that it had stay counted: %d", why, len(ports))
	}
	l.note(why)
}

// addKept adds ports that a source had, and that can't be read now.
func (l *loading) addKept(source string, ports []accounting.Port) {
	l.fail(l.taken.kept.add(source, ports))
	l.others = append(l.others, sourcePorts{source, ports})
}

// keepUnseen keeps what the last setup had and this one can't see, though it may be
// there: sockets of servers that are hidden from it, paths whose directory is, and, if the
// sources are followed, everything that servers used which have ended. They may start
// again, and the next setup by hand sees whether they do.
func (r *running) keepUnseen() {
	hiddenPrograms := make(map[string]bool)
	if r.servers != nil {
		for _, server := range r.servers.Servers {
			hiddenPrograms[server.Program] = hiddenPrograms[server.Program] || server.Hidden
		}
	}
	for _, source := range slices.Sorted(maps.Keys(r.lastSetup)) {
		program, what, ok := OfProcess(source)
		all := r.sources.Following || r.servers == nil
		switch {
		case !ok || r.given[source]:
		case filepath.IsAbs(what) && (all || r.hidden[source]):
			r.readAgain(source, what)
		case all || what == ofSockets && hiddenPrograms[program]:
			r.addKept(source, r.unexplained(r.lastSetup[source]))
		}
	}
}

// readAgain reads a configuration that a server named before, if it is still there.
func (r *running) readAgain(source, path string) {
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil && !r.startReading(resolved, false) {
		return
	}
	if err == nil {
		r.inUse[resolved] = true // it gave ports
		err = r.readAs(source, path, shadowsocks.Part{Path: resolved})
	}
	if err != nil {
		r.keepPorts(source, fmt.Errorf("configuration of a server that ran: %w", err))
	}
}

// runningPlaces returns the paths that running servers name, or named at an earlier setup,
// as far as they are read: those of root's servers, and of other users'.
func (s *Sources) runningPlaces() (roots, others []string) {
	if s.Processes == nil {
		return nil, nil
	}
	last, _ := readLastSetup(s.Earlier) // Load reports the error
	for source := range last {
		if _, what, ok := OfProcess(source); ok && filepath.IsAbs(what) {
			roots = append(roots, what)
		}
	}
	slices.Sort(roots)
	roots = slices.Compact(roots)
	found, err := s.Processes.Find()
	if err != nil {
		return roots, nil // Load reports it
	}
	listed, known := 0, make(map[identity]bool)
	for _, server := range found.Servers {
		paths := server.Files
		for _, directory := range server.Directories {
			resolved, err := server.Resolve(directory)
			id, found := identify(resolved)
			if err != nil || !found || known[id] {
				continue
			}
			known[id] = true
			files, _ := shadowsocks.ListDirectory(resolved, maxFiles-listed)
			listed += len(files)
			paths = slices.Concat(paths, []string{directory}, files)
		}
		for _, path := range paths {
			switch _, err := server.Resolve(path); {
			case err != nil || shadowsocks.IsDatabase(path):
			case server.IsRoots():
				roots = append(roots, path)
			default:
				others = append(others, path)
			}
		}
	}
	return roots, others
}
