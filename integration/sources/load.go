package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
)

// loading is one reading of all sources in progress.
type loading struct {
	sources  *Sources
	seen     []fileState
	listed   []portlist.Entry
	configs  []shadowsocks.Config
	kept     []portlist.Entry // of files that can't be read any more
	notes    []error
	failures []error
}

// read reads the sources. It also returns the states of the paths that it read.
func read(sources *Sources) (Result, []fileState, error) {
	loading := loading{sources: sources}
	for _, path := range sources.Watched {
		loading.watch(path)
	}
	loading.list()
	loading.configurations()
	result, err := loading.result()
	return result, loading.seen, err
}

// watch records the state of a path that is about to be read, so that a change
// during the reading shows as another state.
func (l *loading) watch(path string) {
	l.seen = append(l.seen, stateOf(path))
}

func (l *loading) fail(err error) {
	if err != nil {
		l.failures = append(l.failures, err)
	}
}

func (l *loading) note(err error) { l.notes = append(l.notes, err) }

func (l *loading) list() {
	path := l.sources.List
	if path == "" {
		return
	}
	l.watch(path)
	entries, err := portlist.ReadEntries(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (%w)", ErrNoList, err)
	}
	l.fail(err)
	l.listed = entries
}

func (l *loading) configurations() {
	if len(l.sources.Shadowsocks)+len(l.sources.Servers) == 0 && l.sources.SearchRoot == "" {
		return
	}
	l.watch(hostsFile)
	host, err := l.sources.Host()
	if err != nil {
		l.fail(fmt.Errorf("reading the addresses of this host: %w", err))
		return
	}
	options := shadowsocks.Options{Host: host, AnyProtocol: l.sources.AnyProtocol, Progress: l.sources.Progress}
	for _, path := range l.sources.Shadowsocks {
		l.named(path, options)
	}
	forced := options
	forced.ForceServer = true
	for _, path := range l.sources.Servers {
		l.named(path, forced)
	}
	if l.sources.SearchRoot != "" {
		l.search(options)
	}
}

// named reads a file or a directory that was named, so that each failure counts.
func (l *loading) named(path string, options shadowsocks.Options) {
	l.watch(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		l.directory(path, options)
		return
	}
	l.watchCompanions(path)
	config, err := shadowsocks.Read(path, options)
	if err != nil {
		l.fail(err)
		return
	}
	l.add(config)
}

func (l *loading) watchCompanions(path string) {
	for _, companion := range shadowsocks.Companions(path) {
		l.watch(companion)
	}
}

// directory watches each file of the directory, since a write to a file does not
// show in the directory itself. A directory may be empty: ss-manager adds and
// removes files in its own.
func (l *loading) directory(path string, options shadowsocks.Options) {
	files, err := shadowsocks.ListDirectory(path)
	if err != nil {
		l.fail(err)
		return
	}
	for _, file := range files {
		l.watch(file)
		l.watchCompanions(file)
	}
	configs, skipped, err := shadowsocks.ReadDirectory(path, options)
	l.fail(err)
	l.add(configs...)
	if err == nil {
		for _, file := range skipped {
			l.note(file.Err)
		}
		if len(configs) == 0 {
			l.note(fmt.Errorf("%s: no configuration of a Shadowsocks server in it yet, in *.json, *.json5, *.yaml, *.yml, x-ui.db or .shadowsocks_PORT.conf", path))
		}
	}
}

// add adds configurations and their notes.
func (l *loading) add(configs ...shadowsocks.Config) {
	for _, config := range configs {
		l.configs = append(l.configs, config)
		for _, note := range config.Notes {
			l.note(fmt.Errorf("%s: %s", config.Path, note))
		}
	}
}

// search reads the usual places. A file there that can't be read is a note, not a
// failure, and its ports of the last setup are kept.
func (l *loading) search(options shadowsocks.Options) {
	for _, path := range shadowsocks.SearchPaths(l.sources.SearchRoot) {
		l.watch(path)
	}
	earlier, err := l.earlier()
	if err != nil {
		l.note(fmt.Errorf("the ports of the last setup are unknown: %w", err))
	}
	named := slices.Concat(l.sources.Shadowsocks, l.sources.Servers)
	l.noteClosedDirectories()
	configs, skipped := shadowsocks.Search(l.sources.SearchRoot, options)
	found := make(map[string]bool)
	for _, config := range configs {
		found[config.Path] = true
		if !slices.Contains(named, config.Path) {
			l.add(config)
		}
	}
	for _, file := range skipped {
		found[file.Path] = true
		if slices.Contains(named, file.Path) {
			continue
		}
		if file.Harmless() {
			l.note(file.Err)
		} else {
			l.keep(file.Path, earlier, file.Err)
		}
	}
	// A directory that can't be read hides its files from the search.
	for source := range earlier {
		if found[source] || !filepath.IsAbs(source) {
			continue
		}
		if _, err := os.Stat(source); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.keep(source, earlier, err)
		}
	}
}

// noteClosedDirectories notes the usual places that exist and may not be listed:
// what is in them is not known. A place that is one file has to be found only.
func (l *loading) noteClosedDirectories() {
	var noted []string
	for _, place := range shadowsocks.UsualPlaces() {
		directory := filepath.Join(l.sources.SearchRoot, filepath.Dir(place))
		if slices.Contains(noted, directory) {
			continue
		}
		noted = append(noted, directory)
		_, err := os.ReadDir(directory)
		if !strings.Contains(place, "*") {
			_, err = os.Stat(filepath.Join(l.sources.SearchRoot, place))
		}
		if _, statErr := os.Stat(directory); statErr == nil && errors.Is(err, fs.ErrPermission) {
			l.note(fmt.Errorf("searching for Shadowsocks configurations: %w", err))
		}
	}
}

// earlier returns the ports of the last setup by their source.
func (l *loading) earlier() (map[string][]portlist.Entry, error) {
	if l.sources.Earlier == "" {
		return nil, nil
	}
	entries, err := portlist.ReadEntries(l.sources.Earlier)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	earlier := make(map[string][]portlist.Entry)
	for _, entry := range entries {
		for _, source := range entry.Sources {
			earlier[source] = append(earlier[source], portlist.Entry{Port: entry.Port, Sources: []string{source}})
		}
	}
	return earlier, err
}

// keep retains the ports that a source had, and notes why.
func (l *loading) keep(source string, earlier map[string][]portlist.Entry, why error) {
	if entries := earlier[source]; len(entries) > 0 {
		l.kept = append(l.kept, entries...)
		why = fmt.Errorf("%w; the ports that it had stay counted: %d", why, len(entries))
	}
	l.note(why)
}

// result merges what was read, unless something failed.
func (l *loading) result() (Result, error) {
	failures := l.failures
	if !l.lacksListOnly() { // a missing list is no reason to go on without the others
		failures = slices.DeleteFunc(slices.Clone(failures), func(err error) bool { return errors.Is(err, ErrNoList) })
	}
	err := errors.Join(failures...)
	if err != nil && !l.lacksListOnly() {
		return Result{Configs: l.configs, Notes: l.notes}, err
	}
	ports, conflicts := l.merge()
	targets, conflict := ports.Targets(l.sources.Targets, portlist.Targets(l.listed))
	if conflict != nil {
		return Result{Configs: l.configs, Notes: l.notes}, conflict
	}
	l.noteConflicts(conflicts)
	return Result{Ports: ports, Targets: targets, Entries: l.entries(ports, targets), Configs: l.configs, Notes: l.notes}, err
}

func (l *loading) lacksListOnly() bool {
	return len(l.failures) == 1 && errors.Is(l.failures[0], ErrNoList)
}

// merge returns the union of all ports. It returns a conflict for each port to
// which two sources give different names, unless the command line names it.
func (l *loading) merge() (accounting.Ports, []accounting.NameConflict) {
	explicit, conflicts := accounting.Union(l.sources.Ports)
	lists := [][]accounting.Port{portlist.Ports(l.listed)}
	for _, config := range l.configs {
		lists = append(lists, config.Ports)
	}
	lists = append(lists, portlist.Ports(l.kept))
	fromFiles, _ := accounting.Union(lists...)
	ports, more := accounting.Union(append([][]accounting.Port{l.naming(explicit, fromFiles)}, lists...)...)
	for _, conflict := range more {
		if port, _ := explicit.Find(conflict.Port); port.Name == "" {
			conflicts = append(conflicts, conflict)
		}
	}
	return ports, conflicts
}

func (l *loading) noteConflicts(conflicts []accounting.NameConflict) {
	for _, conflict := range conflicts {
		l.note(fmt.Errorf("port %d has two names, %q and %q: the first is used; choose with --port %d=NAME",
			conflict.Port, conflict.Kept, conflict.Lost, conflict.Port))
	}
}

// naming returns the explicit ports. One with a name or a target and without a
// protocol only describes the port if a file gives it as well: its protocols are
// then the file's.
func (l *loading) naming(explicit, fromFiles accounting.Ports) accounting.Ports {
	named := slices.Clone(explicit)
	var hasTarget accounting.PortMap[bool]
	for _, target := range l.sources.Targets {
		*hasTarget.At(target.Port) = true
	}
	for i, port := range named {
		described := port.Name != "" || hasTarget.Get(port.Number)
		if given, found := fromFiles.Find(port.Number); found && described && port.Protocols == accounting.TCPAndUDP {
			named[i].Protocols = given.Protocols
		}
	}
	return named
}

// entries returns the ports with their sources and targets.
func (l *loading) entries(ports accounting.Ports, targets []accounting.Target) []portlist.Entry {
	sources := make(map[uint16][]string, len(ports))
	add := func(port accounting.Port, source string) {
		if known := sources[port.Number]; source != "" && !slices.Contains(known, source) {
			sources[port.Number] = append(known, source)
		}
	}
	for _, port := range l.sources.Ports {
		add(port, Flag)
	}
	for _, entry := range slices.Concat(l.listed, l.kept) {
		for _, source := range entry.Sources {
			add(entry.Port, source)
		}
	}
	for _, config := range l.configs {
		source := config.Path
		for _, port := range config.Ports {
			add(port, source)
		}
	}
	entries := make([]portlist.Entry, len(ports))
	for i, port := range ports {
		own := 0
		for own < len(targets) && targets[own].Port == port.Number {
			own++
		}
		entries[i] = portlist.Entry{Port: port, Sources: sources[port.Number], Targets: targets[:own:own]}
		targets = targets[own:]
	}
	return entries
}
