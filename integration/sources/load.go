package sources

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
	"ssmonitor/integration/shadowsocks"
)

// loading is one reading of all sources in progress.
type loading struct {
	sources    *Sources
	options    shadowsocks.Options
	seen       sight
	taken      quota                // of what all configurations may take
	byPath     map[string]*progress // of files
	byKey      map[fileKey]*progress
	companions map[string][]string // of the files that were looked at
	lastSetup  lastSetup
	memory     *memory
	clients    *clients.File // nil: unknown
	listed     []portlist.Entry
	configs    []shadowsocks.Config
	others     []sourcePorts // of files that can't be read any more, and what servers give without a file
	servers    *processes.Found
	inUse      map[string]bool   // the configurations that running servers of Shadowsocks were started with
	origins    map[string]string // the sources of configurations that only servers name
	notes      []error
	more       int // notes that were not kept
	failures   []error
	noList     error // that the list does not exist
	badClients error // why the file of clients can't be read
}

// sourcePorts are the ports of a source that is no configuration that was read.
type sourcePorts struct {
	source string
	ports  []accounting.Port
}

// memory is what was read last of sources that stay in force if they can't be read.
type memory struct {
	clients *clients.File
	listed  []portlist.Entry
}

// read reads the sources. It also returns the states of the paths that it read.
func read(sources *Sources, memory *memory) (Result, sight, error) {
	loading := loading{
		sources: sources, memory: memory, byPath: make(map[string]*progress), byKey: make(map[fileKey]*progress),
		companions: make(map[string][]string), inUse: make(map[string]bool), origins: make(map[string]string),
	}
	for _, path := range sources.Watched {
		loading.watch(path)
	}
	loading.readClients()
	loading.list()
	loading.configurations()
	result, err := loading.result()
	return result, loading.seen, err
}

// watch records the state of a path that is about to be read, so that a change
// during the reading shows as another state.
func (l *loading) watch(path string) { l.seen.add(&l.seen.first, path) }

// watchFile is watch for a configuration, and for what is read with it.
func (l *loading) watchFile(path string, states *[]fileState) {
	l.seen.add(states, path)
	for _, companion := range l.companionsOf(path) {
		l.seen.add(states, companion)
	}
}

// companionsOf returns the files that are read with the one at path. It looks for them
// once, since some are named in further files.
func (l *loading) companionsOf(path string) []string {
	companions, known := l.companions[path]
	if !known {
		companions = shadowsocks.Companions(path)
		l.companions[path] = companions
	}
	return companions
}

func (l *loading) fail(err error) {
	if err != nil {
		l.failures = append(l.failures, err)
	}
}

// note notes what is worth a line. There may be any number of files, each with a
// mistake in it.
func (l *loading) note(err error) {
	if len(l.notes) == maxNotes {
		l.more++
		return
	}
	l.notes = append(l.notes, err)
}

// allNotes returns the notes, and one for those that were not kept.
func (l *loading) allNotes() []error {
	if l.more == 0 {
		return l.notes
	}
	return append(slices.Clip(l.notes), fmt.Errorf("%d more notes are not shown", l.more))
}

func (l *loading) list() {
	path := l.sources.List
	if path == "" {
		return
	}
	l.watch(path)
	entries, err := portlist.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && l.memory.listed != nil:
		l.noList = fmt.Errorf("the ports of the list stay in force: %w", err)
		entries = l.memory.listed
	case errors.Is(err, fs.ErrNotExist):
		l.noList = fmt.Errorf("%w (%w)", ErrNoList, err)
	case err != nil:
		l.fail(err)
	default:
		l.memory.listed = entries
	}
	l.listed = l.withoutFormer(entries)
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
	l.options = shadowsocks.Options{Host: host, AnyProtocol: l.sources.AnyProtocol, Progress: l.sources.Progress}
	if l.sources.SearchRoot != "" {
		l.findServers() // and so inUse, for all that is read
	}
	// As a server's first: what is read like that says all that it says otherwise.
	l.named(l.sources.Servers, true)
	l.named(l.sources.Shadowsocks, false)
	if l.sources.SearchRoot != "" {
		l.findLastSetup() // whose ports both of these keep
		l.search()
		l.askServers() // for what no other source explains
	}
}

// readPart reads a file as one of a group, and adds what it says. It reports false for
// one that need not be there, and is not any more.
func (l *loading) readPart(part shadowsocks.Part, asServer, wanted bool) (config shadowsocks.Config, found bool, err error) {
	if err := l.taken.addFile(part.Path); err != nil {
		return config, false, err
	}
	options := l.options
	options.ForceServer = asServer || l.inUse[part.Path]
	if wanted {
		config, err = part.Read(options)
	} else if config, found, err = part.ReadListed(options); !found {
		return config, false, err
	}
	if err == nil {
		err = l.add(config)
	}
	if err != nil {
		config = shadowsocks.Config{}
	}
	return config, true, err
}

// add adds a configuration and its notes, unless there is no room for it any more.
func (l *loading) add(config shadowsocks.Config) error {
	if err := l.taken.read.add(config.Path, config.Ports); err != nil {
		return err
	}
	l.configs = append(l.configs, config)
	for _, note := range config.Notes {
		l.note(fmt.Errorf("%s: %s", config.Path, note))
	}
	return nil
}

// result merges what was read, unless something failed. A missing list is no reason to go
// on without the others.
func (l *loading) result() (Result, error) {
	result := Result{Configs: l.configs, Clients: l.clients, Notes: l.allNotes()}
	if err := errors.Join(l.failures...); err != nil {
		return result, errors.Join(err, l.badClients)
	}
	ports, conflicts := l.merge()
	targets, conflict := ports.Targets(l.clients.Targets(), l.sources.Targets, portlist.Targets(l.listed))
	if conflict != nil {
		return result, conflict
	}
	l.noteOverruled()
	l.noteConflicts(conflicts)
	result.Ports, result.Targets, result.Entries, result.Notes = ports, targets, l.entries(ports, targets), l.allNotes()
	if partial := errors.Join(l.noList, l.badClients); partial != nil {
		return result, &PartialError{partial}
	}
	return result, nil
}

// merge returns the union of all ports. It returns a conflict for each port to
// which two sources give different names, unless the command line or the file of clients
// names it.
func (l *loading) merge() (accounting.Ports, []accounting.NameConflict) {
	_, conflicts := accounting.Union(l.sources.Ports)
	explicit, _ := accounting.Union(l.clients.Ports(), l.sources.Ports)
	lists := [][]accounting.Port{portlist.Ports(l.listed)}
	for _, config := range l.configs {
		lists = append(lists, config.Ports)
	}
	for _, other := range l.others {
		lists = append(lists, other.ports)
	}
	fromFiles, _ := accounting.Union(lists...)
	ports, more := accounting.Union(append([][]accounting.Port{l.naming(explicit, fromFiles)}, lists...)...)
	for _, conflict := range more {
		if port, _ := explicit.Find(conflict.Port); port.Name == "" {
			conflicts = append(conflicts, conflict)
		}
	}
	return ports, conflicts
}

// noteConflicts notes each port with more than one name once, and ports that follow one
// another together.
func (l *loading) noteConflicts(conflicts []accounting.NameConflict) {
	names := make(map[uint16]int) // beside the one that is used
	known := make(map[accounting.NameConflict]bool)
	for _, conflict := range conflicts {
		if !known[conflict] {
			known[conflict] = true
			names[conflict.Port]++
		}
	}
	type note struct {
		portRange
		kept, lost string
		others     int // names beside the one that is used
	}
	var notes []note
	for _, conflict := range conflicts {
		next := note{onePort(conflict.Port), conflict.Kept, conflict.Lost, names[conflict.Port]}
		if next.others == 0 {
			continue // noted already
		}
		names[conflict.Port] = 0
		if last := len(notes) - 1; last >= 0 && notes[last].followedBy(conflict.Port) && notes[last] == (note{notes[last].portRange, next.kept, next.lost, next.others}) {
			notes[last].Last = conflict.Port
			continue
		}
		notes = append(notes, next)
	}
	for _, note := range notes {
		several := "two names,"
		if note.others > 1 {
			several = fmt.Sprintf("%d names, among them", 1+note.others)
		}
		l.note(fmt.Errorf("%s %s %q and %q: the first is used; choose with --port %s=NAME",
			note.with("has", "have"), several, note.kept, note.lost, note))
	}
}

// naming returns the explicit ports. One with a name or a target and without a
// protocol only describes the port if a file gives it as well: its protocols are
// then the file's.
func (l *loading) naming(explicit, fromFiles accounting.Ports) accounting.Ports {
	wanted := slices.Clone(explicit)
	var hasTarget accounting.PortMap[bool]
	for _, target := range slices.Concat(l.clients.Targets(), l.sources.Targets) {
		*hasTarget.At(target.Port) = true
	}
	for i, port := range wanted {
		described := port.Name != "" || hasTarget.Get(port.Number)
		if given, found := fromFiles.Find(port.Number); found && described && port.Protocols == accounting.TCPAndUDP {
			wanted[i].Protocols = given.Protocols
		}
	}
	return wanted
}

// entries returns the ports with their sources and targets.
func (l *loading) entries(ports accounting.Ports, targets []accounting.Target) []portlist.Entry {
	sources := make(map[uint16][]string, len(ports))
	type origin struct {
		port   uint16
		source string
	}
	known := make(map[origin]bool)
	add := func(source string, ports ...accounting.Port) {
		for _, port := range ports {
			if from := (origin{port.Number, source}); !known[from] {
				known[from] = true
				sources[port.Number] = append(sources[port.Number], source)
			}
		}
	}
	add(ClientsSource(l.sources.Clients), l.clients.Ports()...)
	add(l.sources.portsSource(), l.sources.Ports...)
	for _, entry := range l.listed {
		for _, source := range entry.Sources {
			add(source, entry.Port)
		}
	}
	for _, other := range l.others {
		add(other.source, other.ports...)
	}
	for _, config := range l.configs {
		add(cmp.Or(l.origins[config.Path], config.Path), config.Ports...)
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
