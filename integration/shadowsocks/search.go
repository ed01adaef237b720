package shadowsocks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Skipped is a directory that was not listed, or a file that can't be seen, and why.
type Skipped struct {
	Path string
	Err  error
}

// Search returns the files in the usual places below root, which is / outside of
// tests. It does not list a directory with more files than are left of the limit, and
// returns it with the reason, as it does with any other that can't be looked into.
func Search(root string, limit int) (paths []string, unlisted []Skipped) {
	for _, place := range usualPlaces {
		directory, isDirectory := place.directory(root)
		if !isDirectory {
			path := filepath.Join(root, place.path)
			if _, err := os.Stat(path); err == nil {
				paths = append(paths, path)
			} else if !errors.Is(err, fs.ErrNotExist) {
				unlisted = append(unlisted, Skipped{directory, err})
			}
			continue
		}
		found, err := list(directory, limit-len(paths), place.matches)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unlisted = append(unlisted, Skipped{directory, err})
		}
		paths = append(paths, found...)
	}
	return withoutSuperseded(paths), unlisted
}

// SearchPlaces returns the paths on which the result of [Search] depends: the
// directories, and the files that have a fixed name.
func SearchPlaces(root string) []string {
	paths := make([]string, len(usualPlaces))
	for i, place := range usualPlaces {
		directory, isDirectory := place.directory(root)
		if paths[i] = directory; !isDirectory {
			paths[i] = filepath.Join(root, place.path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// directory returns the directory of the place below root. It reports whether any file
// in it may be a configuration.
func (p usualPlace) directory(root string) (path string, several bool) {
	directory, name := filepath.Split(p.path)
	return filepath.Join(root, directory), name == "" || strings.Contains(name, "*")
}

// matches reports whether a file of that name in the directory of the place is a
// configuration.
func (p usualPlace) matches(name string) bool {
	pattern := filepath.Base(p.path)
	if !strings.HasSuffix(p.path, "/") {
		matched, _ := filepath.Match(pattern, name) // fails only for a malformed pattern
		return matched
	}
	return slices.Contains(p.suffixes, filepath.Ext(name)) && !strings.HasPrefix(name, ".") && !isCopy(name)
}
