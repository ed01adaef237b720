package sources

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
)

// OverruledError is a name that a source gives to ports, though the file of clients gives
// them another one, which counts. Inspect it with errors.As.
type OverruledError struct {
	portRange
	Kept, Lost string
	Clients    string // the file of clients
	Source     string // of the name that was lost
}

// Error names both names, where they stand, and what to do.
func (e *OverruledError) Error() string {
	return fmt.Sprintf("%s %q in %s, which counts, and %q in %s: to change it, run ssmonitor client rename OLD NEW for the "+
		"same person, or ssmonitor client new %d NAME for another one", e.with("is", "are"), e.Kept, e.Clients, e.Lost, e.Source, e.First)
}

// readClients reads the file of clients. If that fails, it has those that were read last.
func (l *loading) readClients() {
	path := l.sources.Clients
	if path == "" {
		return
	}
	l.watch(path)
	if changes := l.sources.ClientChanges; len(changes) > 0 {
		var err error
		l.clients, err = clients.Preview(path, changes...)
		l.fail(err)
		return
	}
	file, err := clients.Read(path)
	if err == nil && len(l.memory.clients.Ports()) > 0 && isEmpty(path) {
		// Whoever writes it in place has only begun, or the disk is full.
		err = fmt.Errorf("%s is empty: remove it if there is no client any more", path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.clients = new(clients.File)
	case err != nil:
		l.badClients = fmt.Errorf("%w; %w", err, ErrClients)
		l.clients = l.memory.clients
		return
	default:
		l.clients = file
	}
	l.memory.clients = l.clients
}

func isEmpty(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == 0
}

// ClientsSource returns the source of the ports in the file of clients: the same for
// setup and for the agent, which may be started in other directories.
func ClientsSource(clients string) string {
	path, err := filepath.Abs(clients)
	if err != nil {
		return clients
	}
	return path
}

// portsSource returns the source of the ports that were named one by one.
func (s *Sources) portsSource() string { return cmp.Or(s.PortFile, Flag) }

// withoutFormer returns the entries of the list without those of the file of clients, which
// says by itself what it has now. If it can't be read, they stay.
func (l *loading) withoutFormer(entries []portlist.Entry) []portlist.Entry {
	if l.clients == nil {
		return entries
	}
	return OfOthers(entries, ClientsSource(l.sources.Clients))
}

// OfOthers returns the entries of a list without those for which it names no other sources
// than some, which say by themselves what they have now.
func OfOthers(entries []portlist.Entry, some ...string) []portlist.Entry {
	isOther := func(source string) bool { return !slices.Contains(some, source) }
	return slices.DeleteFunc(slices.Clone(entries), func(entry portlist.Entry) bool {
		return len(entry.Sources) > 0 && !slices.ContainsFunc(entry.Sources, isOther)
	})
}

// noteOverruled notes each name that the file of clients overrules, and ports that follow one
// another together. The list is left out: setup writes it again.
func (l *loading) noteOverruled() {
	named, _ := accounting.Union(l.clients.Ports())
	known := make(map[accounting.NameConflict]bool)
	note := func(source string, ports []accounting.Port) {
		var last *OverruledError
		for _, port := range ports {
			kept, _ := named.Find(port.Number)
			conflict := accounting.NameConflict{Port: port.Number, Kept: kept.Name, Lost: port.Name}
			if kept.Name == "" || port.Name == "" || kept.Name == port.Name || known[conflict] {
				continue
			}
			known[conflict] = true
			if last != nil && last.followedBy(port.Number) && last.Kept == kept.Name && last.Lost == port.Name {
				last.Last = port.Number
				continue
			}
			last = &OverruledError{onePort(port.Number), kept.Name, port.Name, l.sources.Clients, source}
			l.note(last)
		}
	}
	note(l.sources.portsSource(), l.sources.Ports)
	for _, config := range l.configs {
		note(config.Path, config.Ports)
	}
}
