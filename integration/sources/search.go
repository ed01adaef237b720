package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ssmonitor/integration/shadowsocks"
)

// search reads the usual places. A file there that can't be read is a note, not a
// failure, and its ports of the last setup are kept.
func (l *loading) search() {
	for _, path := range shadowsocks.SearchPlaces(l.sources.SearchRoot) {
		l.watch(path)
	}
	files, unlisted := shadowsocks.Search(l.sources.SearchRoot, maxFiles-l.taken.files)
	for _, file := range files {
		l.watchFile(file, &l.seen.others)
	}
	tooMany := l.noteUnlisted(unlisted)
	for _, group := range shadowsocks.Together(files) {
		l.together(group, false, nil, l.unusable)
	}
	// A directory that can't be read hides its files from the search.
	for _, source := range slices.Sorted(maps.Keys(l.lastSetup)) {
		if !filepath.IsAbs(source) || l.progressOf(source).begun {
			continue
		}
		_, err := os.Stat(source)
		switch {
		case err == nil && tooMany[filepath.Dir(source)]:
			l.keepPorts(source, fmt.Errorf("%s: %w beside it", source, shadowsocks.ErrTooMany))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			l.keepPorts(source, err)
		}
	}
}

// noteUnlisted notes the usual places that exist and can't be looked into: what is in
// them is not known. It returns those with too many files.
func (l *loading) noteUnlisted(directories []shadowsocks.Skipped) (tooMany map[string]bool) {
	noted := make(map[string]bool)
	tooMany = make(map[string]bool)
	for _, directory := range directories {
		many := errors.Is(directory.Err, shadowsocks.ErrTooMany)
		_, err := os.Stat(directory.Path)
		if !noted[directory.Path] && (many || err == nil && errors.Is(directory.Err, fs.ErrPermission)) {
			l.note(fmt.Errorf("searching for Shadowsocks configurations: %w", directory.Err))
			noted[directory.Path] = true
		}
		tooMany[directory.Path] = tooMany[directory.Path] || many
	}
	return tooMany
}

// unusable notes what is wrong with a file in one of the usual places. If that may have
// ports all the same, those of the last setup are kept.
func (l *loading) unusable(path string, err error) {
	if shadowsocks.Harmless(err) {
		l.note(err)
		return
	}
	l.keepPorts(path, err)
}
