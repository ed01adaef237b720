package sources

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"ssmonitor/integration/shadowsocks"
)

// wide match directories with much that is no source: files in them are opened one by
// one, and are not found under another name.
var wide = []string{"/", "/*", "/etc/config", "/home/*", "/usr/local", "/usr/local/etc", "/var/lib", "/var/snap"}

// Place is a file, or a directory with what is below it, that is read.
type Place struct {
	Path string
	// Database reports that it is of a database: SQLite keeps its locks beside that.
	Database bool
	// Optional reports that another user than root names it: it is read if it may be, but
	// is no reason to start again.
	Optional bool
	// The place is another one if the path leads elsewhere.
	device, inode uint64
	directory     bool
}

// Places returns what has to be opened to load the sources as they are now, without
// opening any file. Links are resolved. A file is represented by its directory, so
// that it can be replaced, and the other files of a database are beside it, unless that
// has much else in it: whoever may add a link could make a place of anything.
func (s *Sources) Places() []Place {
	paths := slices.Concat(s.Watched, []string{s.Clients, s.List, s.Earlier})
	if len(s.Shadowsocks)+len(s.Servers) > 0 || s.SearchRoot != "" {
		paths = append(paths, hostsFile)
	}
	for _, path := range slices.Concat(s.Shadowsocks, s.Servers) {
		paths = append(paths, path)
		files, _ := shadowsocks.ListDirectory(path, maxFiles) // fails for a file
		paths = append(paths, files...)
	}
	if s.SearchRoot != "" {
		files, _ := shadowsocks.Search(s.SearchRoot, maxFiles)
		paths = slices.Concat(paths, shadowsocks.SearchPlaces(s.SearchRoot), files)
	}
	roots, others := s.runningPlaces()
	paths = append(paths, roots...)
	for _, path := range slices.Clone(paths) {
		paths = append(paths, shadowsocks.Companions(path)...)
	}
	var places []Place
	known := make(map[Place]bool) // anybody may add links to thousands of places
	add := func(place Place, found bool) {
		if found && !known[place] {
			known[place] = true
			places = append(places, place)
		}
	}
	for _, path := range paths {
		add(placeOf(path))
	}
	for _, path := range others {
		place, found := fileAt(path)
		place.Optional = true
		add(place, found)
	}
	return places
}

// placeOf returns the place that stands for a path, if there is anything at it.
func placeOf(path string) (Place, bool) {
	place, found := fileAt(path)
	if !found || place.directory || isWide(filepath.Dir(place.Path)) {
		return place, found
	}
	database := place.Database
	place, found = fileAt(filepath.Dir(place.Path))
	place.Database = database
	return place, found
}

// fileAt returns the place that is nothing but what is at the path, if there is anything.
// A file that replaces it is another place.
func fileAt(path string) (Place, bool) {
	if path == "" {
		return Place{}, false
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	if err != nil {
		return Place{}, false
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return Place{}, false
	}
	place := Place{Path: resolved, Database: shadowsocks.IsDatabase(path) && !info.IsDir(), directory: info.IsDir()}
	if status, ok := info.Sys().(*syscall.Stat_t); ok {
		place.device, place.inode = status.Dev, status.Ino
	}
	return place, true
}

func isWide(directory string) bool {
	return slices.ContainsFunc(wide, func(pattern string) bool {
		matches, _ := filepath.Match(pattern, directory) // fails for a malformed pattern
		return matches
	})
}

// Holds reports whether who may open the place may open the other one.
func (p Place) Holds(other Place) bool {
	if p.Path == other.Path {
		return p.device == other.device && p.inode == other.inode && (p.Database || !other.Database)
	}
	relative, err := filepath.Rel(p.Path, other.Path)
	return err == nil && p.directory && filepath.IsLocal(relative) && !other.Database
}
