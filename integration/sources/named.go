package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"ssmonitor/integration/shadowsocks"
)

// reading distinguishes what was read: a file, whatever its name, and what is read with
// it, which depends on the name.
type reading struct {
	file identity
	with string
}

// readingOf returns what is read at the path.
func (l *loading) readingOf(path string) reading {
	file, found := identify(path)
	if !found || shadowsocks.Managed(path) {
		return reading{with: path}
	}
	var with []identity
	for _, companion := range l.companionsOf(path) {
		beside, _ := identify(companion)
		with = append(with, beside)
	}
	return reading{file, fmt.Sprint(with)}
}

// outcome is what came of a reading so far.
type outcome struct {
	begun  bool
	forced bool // whether the file was read as a server's
	served bool // whether it has ports
	failed bool // whether something was wrong with it, or it has none
	form   shadowsocks.Form
}

// outcome returns that of reading the file at the path, under this name or another one:
// scripts link one to the place where a server looks for it.
func (l *loading) outcome(path string) *outcome {
	if known, found := l.files[path]; found {
		return known
	}
	of := l.readingOf(path)
	if l.outcomes[of] == nil {
		l.outcomes[of] = &outcome{}
	}
	l.files[path] = l.outcomes[of]
	return l.files[path]
}

// claim reports whether the file is to be read: once, but what was read as a client's
// again as a server's.
func (l *loading) claim(path string, asServer bool) bool {
	earlier, forced := l.outcome(path), asServer || l.inUse[path]
	if earlier.begun && (!forced || earlier.forced || earlier.served) {
		return false
	}
	*earlier = outcome{begun: true, forced: forced}
	return true
}

// named reads files and directories that were named. What a server may read as one
// configuration is read as one, under however many names.
func (l *loading) named(paths []string, asServer bool) {
	var files, directories []string
	wanted := make(map[string]bool) // the files that were named themselves
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			l.watchFile(path, &l.seen.first)
			files, wanted[path] = append(files, path), true
			continue
		}
		directories = append(directories, path)
		files = append(files, l.directory(path, maxFiles-l.taken.files-len(files))...)
	}
	for _, group := range shadowsocks.Together(files) {
		l.together(group, asServer, wanted, l.unusableNamed)
	}
	for _, directory := range directories {
		l.noteEmpty(directory, directories, files)
	}
}

// directory lists a directory. It watches each file, since a write to one does not show
// in the directory itself. A directory may be empty: ss-manager adds and removes files in
// its own.
func (l *loading) directory(path string, most int) []string {
	l.watch(path)
	files, err := shadowsocks.ListDirectory(path, most)
	l.fail(err)
	for _, file := range files {
		l.watchFile(file, &l.seen.others)
	}
	return files
}

// unusableNamed reports what is wrong with a file of a directory that was named.
func (l *loading) unusableNamed(_ string, err error) {
	if errors.Is(err, shadowsocks.ErrClient) || errors.Is(err, shadowsocks.ErrNoPorts) || errors.Is(err, shadowsocks.ErrTOML) ||
		errors.Is(err, fs.ErrNotExist) {
		l.note(err)
	} else if len(l.failures) < maxNotes {
		l.fail(err)
	}
}

// noteEmpty notes that a directory has no configuration, unless more was said of what is
// in it.
func (l *loading) noteEmpty(directory string, directories, files []string) {
	below, found := shadowsocks.Below(directory)
	silent := false
	for _, file := range files {
		relative, err := filepath.Rel(directory, file)
		if err != nil || !filepath.IsLocal(relative) {
			continue
		}
		result := l.outcome(file)
		if result.served {
			return
		}
		silent = silent || result.failed
	}
	named := func(path string) bool { return filepath.Clean(path) == below }
	switch {
	case found && !slices.ContainsFunc(directories, named):
		l.note(fmt.Errorf("%s: if the configuration is in %s, name that with --shadowsocks", directory, below))
	case !silent:
		l.note(fmt.Errorf("%s: no configuration of a Shadowsocks server in it yet, in *.json, *.json5, *.jsonc, *.yaml, *.yml, x-ui.db, s-ui.db or .shadowsocks_PORT.conf", directory))
	}
}

// together reads files of which a server may read several as one configuration. What is
// wrong with a file is a failure if that was wanted by its name, and is reported otherwise.
func (l *loading) together(files []string, asServer bool, wanted map[string]bool, report func(path string, err error)) {
	var left []string
	known := make(map[string]bool)
	for _, file := range files {
		if (l.claim(file, asServer) || wanted[file]) && !known[file] {
			left, known[file] = append(left, file), true
		}
	}
	if len(left) == 0 {
		return
	}
	parts := shadowsocks.NewParts(files, l.options)
	for _, file := range files {
		if earlier := l.outcome(file); !known[file] && earlier.served {
			_ = parts.Take(file, shadowsocks.Config{Form: earlier.form}, nil)
		}
	}
	failed := make(map[string]error)
	for _, file := range left {
		config, read, err := l.readPart(file, parts, asServer, wanted[file])
		if err == nil && !read {
			continue
		}
		of := l.outcome(file)
		of.served, of.failed, of.form = err == nil, err != nil, config.Form
		if err != nil && wanted[file] {
			failed[file] = err
		} else if err := parts.Take(file, config, err); err != nil {
			report(file, err)
		}
	}
	for _, file := range left {
		err := failed[file]
		if parts.Complete(err) {
			err = parts.Take(file, shadowsocks.Config{}, err)
		}
		l.fail(err)
	}
	for _, note := range parts.Rest() {
		l.note(note)
	}
}
