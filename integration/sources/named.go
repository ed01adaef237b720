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

// fileKey distinguishes what is read: a file, whatever its name, and what is read with it,
// which depends on the name.
type fileKey struct {
	file identity
	with string
}

// keyOf returns what is read at the path.
func (l *loading) keyOf(path string) fileKey {
	file, found := identify(path)
	if !found || shadowsocks.Managed(path) {
		return fileKey{with: path}
	}
	var with []identity
	for _, companion := range l.companionsOf(path) {
		beside, _ := identify(companion)
		with = append(with, beside)
	}
	return fileKey{file, fmt.Sprint(with)}
}

// progress is what came of a file so far.
type progress struct {
	begun  bool
	forced bool              // whether it was read as a server's
	form   *shadowsocks.Form // nil as long as it has no ports
	failed bool              // whether something was wrong with it, or it has no ports
}

// progressOf returns that of the file at the path, under this name or another one: scripts
// link one to the place where a server looks for it.
func (l *loading) progressOf(path string) *progress {
	if known, found := l.byPath[path]; found {
		return known
	}
	key := l.keyOf(path)
	if l.byKey[key] == nil {
		l.byKey[key] = &progress{}
	}
	l.byPath[path] = l.byKey[key]
	return l.byPath[path]
}

// startReading marks the file as read. It reports false if it is not to be read again: only
// what was read as a client's, without ports, is read again as a server's.
func (l *loading) startReading(path string, asServer bool) bool {
	earlier, forced := l.progressOf(path), asServer || l.inUse[path]
	if earlier.begun && (!forced || earlier.forced || earlier.form != nil) {
		return false
	}
	*earlier = progress{begun: true, forced: forced}
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
		of := l.progressOf(file)
		if of.form != nil {
			return
		}
		silent = silent || of.failed
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
	left := make(map[string]bool)
	for _, file := range files {
		if l.startReading(file, asServer) || wanted[file] {
			left[file] = true
		}
	}
	if len(left) == 0 {
		return
	}
	group := shadowsocks.Group{Paths: files, Named: wanted}
	group.Read = func(part shadowsocks.Part) (config shadowsocks.Config, found bool, err error) {
		of := l.progressOf(part.Path)
		if !left[part.Path] {
			return shadowsocks.Config{Form: of.form}, of.form != nil, nil
		}
		delete(left, part.Path)
		config, found, err = l.readPart(part, asServer, wanted[part.Path])
		if found || err != nil {
			of.form, of.failed = config.Form, err != nil
		}
		return config, found, err
	}
	group.Refuse = func(path string, err error) {
		if wanted[path] {
			l.fail(err)
		} else {
			report(path, err)
		}
	}
	for _, note := range group.Load(l.sources.Progress) {
		l.note(note)
	}
}
