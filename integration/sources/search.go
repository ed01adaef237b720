package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
)

// kept is what a source had in the last setup that can't be read any more.
type kept struct {
	source string
	ports  []accounting.Port
}

// search reads the usual places. A file there that can't be read is a note, not a
// failure, and its ports of the last setup are kept.
func (l *loading) search() {
	for _, path := range shadowsocks.SearchPlaces(l.sources.SearchRoot) {
		l.watch(path)
	}
	var err error
	if l.earlier, err = l.sources.earlier(); err != nil {
		l.note(fmt.Errorf("the ports of the last setup are unknown: %w", err))
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
	for _, source := range slices.Sorted(maps.Keys(l.earlier)) {
		if !filepath.IsAbs(source) || l.outcome(source).begun {
			continue
		}
		_, err := os.Stat(source)
		switch {
		case err == nil && tooMany[filepath.Dir(source)]:
			l.keep(source, fmt.Errorf("%s: %w beside it", source, shadowsocks.ErrTooMany))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			l.keep(source, err)
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
	l.keep(path, err)
}

// earlier returns the ports of the last setup by their source.
func (s *Sources) earlier() (map[string][]accounting.Port, error) {
	if s.Earlier == "" {
		return nil, nil
	}
	entries, err := portlist.Read(s.Earlier)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	earlier := make(map[string][]accounting.Port)
	for _, entry := range entries {
		for _, source := range entry.Sources {
			earlier[source] = append(earlier[source], entry.Port)
		}
	}
	return earlier, err
}

// keep retains the ports that a source had, and notes why.
func (l *loading) keep(source string, why error) {
	if ports := l.earlier[source]; len(ports) > 0 {
		l.retain(source, ports)
		why = fmt.Errorf("%w; the ports that it had stay counted: %d", why, len(ports))
	}
	l.note(why)
}

// retain takes ports that a source had, and that can't be read now.
func (l *loading) retain(source string, ports []accounting.Port) {
	l.fail(l.taken.keep(source, ports))
	l.kept = append(l.kept, kept{source, ports})
}
