package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/integration/shadowsocks"
)

// recall reports whether an earlier setup has found the path, whose directory is hidden
// from this process, and keeps what that found: the path may be that of several servers.
func (r *running) recall(program, path string) (found bool) {
	for source := range r.earlier {
		its, what, ok := OfProcess(source)
		if ok && its == program && strings.Contains(what+"/", "/"+path+"/") {
			r.relatives[source], found = true, true
		}
	}
	return found
}

// retainOthers keeps what earlier setups found and this one can't see, though it may be
// there: sockets of servers that are hidden from it, paths whose directory is, and, if the
// sources are followed, everything that servers used which have ended. They may start
// again, and the next setup by hand sees whether they do.
func (r *running) retainOthers() {
	hidden := make(map[string]bool)
	if r.servers != nil {
		for _, server := range r.servers.Servers {
			hidden[server.Program] = hidden[server.Program] || server.Hidden
		}
	}
	for _, source := range slices.Sorted(maps.Keys(r.earlier)) {
		program, what, ok := OfProcess(source)
		all := r.sources.Following || r.servers == nil
		switch {
		case !ok || r.given[source]:
		case filepath.IsAbs(what) && (all || r.relatives[source]):
			r.reread(source, what)
		case all || what == ofSockets && hidden[program]:
			r.retain(source, r.unexplained(r.earlier[source]))
		}
	}
}

// reread reads a configuration that a server named before, if it is still there.
func (r *running) reread(source, path string) {
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil && !r.claim(resolved, false) {
		return
	}
	if err == nil {
		r.inUse[resolved] = true // it gave ports
		err = r.readAs(source, part{path, resolved}, shadowsocks.NewParts(nil, r.options))
	}
	if err != nil {
		r.keep(source, fmt.Errorf("configuration of a server that ran: %w", err))
	}
}

// runningPlaces returns the paths that running servers name, or named at an earlier setup,
// as far as they are read: those of root's servers, and of other users'.
func (s *Sources) runningPlaces() (roots, others []string) {
	if s.Processes == nil {
		return nil, nil
	}
	earlier, _ := s.earlier() // Load reports the error
	for source := range earlier {
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
			resolved, err := server.MayRead(directory)
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
