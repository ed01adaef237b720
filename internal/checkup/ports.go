package checkup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
)

// checkPorts checks the sources of ports, and finds out which ports should be counted.
func (c *checker) checkPorts() {
	if c.Sources.SearchRoot != "" && c.Machine.UID != 0 {
		c.add(finding.Finding{ID: finding.ConfigurationSearch, Level: finding.Unknown,
			Message: "configurations in directories that only root can read can't be found", Remedy: c.Machine.needRoot()})
	}
	counted, listErr := c.counted()
	from := c.Sources
	if listErr == nil {
		from.Earlier = c.Settings.List // as setup does, which keeps the ports of a file that can't be read
	}
	found, err := sources.Follow(from).Load()
	c.checkClients(found.Clients, err)
	c.compareNames(counted)
	noneFound := !c.checkConfigurations(found, err) && from.SearchRoot != ""
	if noneFound && len(counted.Ports) > 0 {
		c.add(finding.Finding{ID: finding.ConfigurationSearch, Level: finding.Note, Message: noConfiguration,
			Remedy: "if there is one, name it: ssmonitor setup --shadowsocks FILE"})
	}
	c.ports = c.checkList(counted, listErr, found.Ports, noneFound)
	if c.named, err = c.ports.Targets(found.Targets, counted.Targets); err != nil {
		c.add(c.Machine.failure(finding.SharedTarget, c.Settings.List, err, "or publish each to a port of its own"))
	}
	if listErr == nil {
		c.checkListedTargets(counted.Targets, found.Targets)
	}
	c.entries = slices.Concat(counted.Entries, found.Entries)
}

// counted reads what the agent counts: the list of ports, and the file of clients, whose
// mistakes are reported elsewhere. The error is that of the list.
func (c *checker) counted() (counted sources.Result, listErr error) {
	counted, err := sources.Follow(sources.Sources{Clients: c.Settings.Clients, List: c.Settings.List}).Load()
	if errors.As(err, new(*sources.PartialError)) && !errors.Is(err, sources.ErrNoList) {
		err = nil
	}
	return counted, err
}

// checkClients checks the file of clients. found and err are what Load of package sources
// returned.
func (c *checker) checkClients(found *clients.File, err error) {
	path := c.Settings.Clients
	for _, err := range separate(err) {
		if errors.Is(err, sources.ErrClients) {
			c.add(c.Machine.failure(finding.Clients, path, err, "correct the file"))
		}
	}
	if found != nil && len(found.Clients) > 0 {
		c.add(finding.Finding{ID: finding.Clients, Level: finding.OK, Subject: path,
			Message: fmt.Sprintf("clients %s: %s", path, finding.DescribePorts(found.Ports()))})
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o002 != 0 {
		c.add(finding.Finding{ID: finding.Clients, Level: finding.Note, Subject: path,
			Message: fmt.Sprintf("every user can change %s, and so whose usage is whose", path), Remedy: "chmod o-w " + path})
	}
	if note := c.Settings.PortNote(); note != nil {
		c.add(finding.Finding{ID: finding.Clients, Level: finding.Note, Subject: c.Settings.PortFile, Message: terminal.Line(note)})
	}
}

// compareNames compares the names that the agent reads with those that it reports, which
// differ after a client new that could not change the file of clients.
func (c *checker) compareNames(counted sources.Result) {
	const most = 3
	noted := 0
	served := c.agent.ports()
	for _, entry := range counted.Entries {
		port, found := served.Find(entry.Number)
		if !found || entry.Name == "" || port.Name == entry.Name || noted == most {
			continue
		}
		noted++
		c.add(finding.Finding{ID: finding.Clients, Level: finding.Note, Subject: strconv.Itoa(int(entry.Number)),
			Message: fmt.Sprintf("port %d is %q in %s, and %q in reports, where ssmonitor client new has given it to that client", entry.Number, entry.Name,
				cmp.Or(strings.Join(entry.Sources, ", "), c.Settings.List), port.Name),
			Remedy: fmt.Sprintf("if it stays so, name the client in the file of clients: ssmonitor client new %d NAME", entry.Number)})
	}
}

// checkConfigurations checks Shadowsocks' configurations. found and err are what Load of
// package sources returned. It reports whether there are any, or other ports.
func (c *checker) checkConfigurations(found sources.Result, err error) bool {
	before := len(c.found)
	running, others := runningServers(found.Entries)
	for _, config := range found.Configs {
		c.add(finding.Finding{ID: finding.Configuration, Level: finding.OK, Subject: config.Path,
			Message: fmt.Sprintf("configuration %s: %s%s: %s", config.Path, config.Form, running[config.Path], finding.DescribePorts(config.Ports))})
	}
	for _, source := range slices.Sorted(maps.Keys(others)) {
		c.add(finding.Finding{ID: finding.Configuration, Level: finding.OK, Subject: source, Message: fmt.Sprintf("%s: %s", source, finding.DescribePorts(others[source]))})
	}
	for _, note := range found.Notes {
		id := finding.Configuration
		if errors.As(note, new(*sources.OverruledError)) {
			id = finding.Clients
		}
		f := c.Machine.failure(id, pathOf(note), note, remedyOf(note))
		if f.Level != finding.Unknown {
			f.Level = finding.Note
		}
		c.add(f)
	}
	for _, err := range separate(err) {
		if errors.Is(err, sources.ErrClients) {
			continue // checkClients reports it
		}
		c.add(c.Machine.failure(finding.Configuration, pathOf(err), err, "correct or remove the file, or name another"))
	}
	return len(c.found) > before || len(found.Ports) > 0
}

// noConfiguration is one finding with a list of ports that is missing or empty, and one of
// its own otherwise.
const noConfiguration = "no Shadowsocks configuration was found in the usual places"

// remedyOf returns what to do about a note, where it is on a mistake in a file.
func remedyOf(note error) string {
	_, malformed := errors.AsType[*shadowsocks.SyntaxError](note)
	if _, mistaken := errors.AsType[*shadowsocks.ValueError](note); mistaken || malformed {
		return "correct the file"
	}
	return ""
}

// runningServers returns, of the sources that running servers gave, which server named a
// configuration, in words, and the ports of those that are no configurations.
func runningServers(entries []portlist.Entry) (named map[string]string, others map[string]accounting.Ports) {
	named, others = make(map[string]string), make(map[string]accounting.Ports)
	for _, entry := range entries {
		for _, source := range entry.Sources {
			switch program, what, ok := sources.OfProcess(source); {
			case ok && filepath.IsAbs(what):
				named[what] = ", named by the running " + program
			case ok:
				others[source] = append(others[source], entry.Port)
			}
		}
	}
	return named, others
}

// separate returns the errors that errors.Join has joined, at any depth.
func separate(err error) (list []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	// An error of fmt.Errorf may wrap several as well, and its text is more than
	// theirs.
	if !ok || err.Error() != errors.Join(joined.Unwrap()...).Error() {
		return []error{err}
	}
	for _, part := range joined.Unwrap() {
		list = append(list, separate(part)...)
	}
	return list
}

// pathOf returns the path that the operating system refused, if that was it.
func pathOf(err error) string {
	if refused := (*fs.PathError)(nil); errors.As(err, &refused) {
		return refused.Path
	}
	return ""
}

// checkList compares what is counted, by the list of ports and the file of clients, with
// the ports that were found and with those that a running agent serves; either may be empty.
// err is why the list could not be read. noneFound reports that a search found
// no configuration. It returns the ports that should be counted.
func (c *checker) checkList(counted sources.Result, err error, found accounting.Ports, noneFound bool) accounting.Ports {
	f := finding.Finding{ID: finding.PortList, Level: finding.Wrong, Subject: c.Settings.List}
	served := c.agent.ports()
	nor := ""
	if noneFound {
		nor = ", and " + noConfiguration
	}
	missing := errors.Is(err, sources.ErrNoList)
	switch {
	case missing && len(counted.Ports) > 0:
		f.Level, f.Remedy = finding.Note, "write it: ssmonitor setup"
		f.Message = fmt.Sprintf("there is no list of ports %s: the agent counts the clients in %s alone", c.Settings.List, c.Settings.Clients)
	case missing && len(served) > 0:
		f.Level, f.Message = finding.Note, fmt.Sprintf("there is no list of ports %s: the agent counts those that it was started with%s", c.Settings.List, nor)
		c.add(f)
		return served
	case missing:
		f.Message, f.Remedy = fmt.Sprintf("there is no list of ports %s: the agent has nothing to count%s", c.Settings.List, nor), writeList(found)
		c.add(f)
		return found
	case err != nil:
		c.add(c.Machine.failure(finding.PortList, c.Settings.List, err, "write it again: ssmonitor setup"))
		return served
	case len(counted.Ports) == 0:
		f.Message, f.Remedy = fmt.Sprintf("nothing is counted: %s%s", c.emptyList(), nor), writeList(found)
		c.add(f)
		return found
	default:
		f.Level, f.Message = finding.OK, fmt.Sprintf("list of ports %s: %s", c.Settings.List, finding.DescribePorts(counted.Ports))
	}
	c.add(f)
	c.compareList(counted.Ports, found, served)
	return counted.Ports
}

// emptyList says why nothing in the list of ports counts.
func (c *checker) emptyList() string {
	if entries, err := portlist.Read(c.Settings.List); err == nil && len(entries) > 0 {
		return fmt.Sprintf("the list of ports %s has only those that %s had before", c.Settings.List, c.Settings.Clients)
	}
	return fmt.Sprintf("the list of ports %s is empty", c.Settings.List)
}

// updateList returns the remedy for a list that lacks what is configured.
func (c *checker) updateList() string {
	remedy := "update it: ssmonitor setup"
	if c.setupService != nil || c.Machine.unitIsInstalled() {
		remedy += "\nand have that done at every change: systemctl enable --now " + setupService
	}
	return remedy
}

// writeList returns the remedy for a list that is missing or empty.
func writeList(found accounting.Ports) string {
	if len(found) > 0 {
		return "write it: ssmonitor setup"
	}
	return "name the ports: ssmonitor setup --port 20000=alice --port 20001=bob\n" +
		"or Shadowsocks' configuration: ssmonitor setup --shadowsocks FILE"
}

func (c *checker) compareList(listed, found, served accounting.Ports) {
	if missing := without(found, listed); len(missing) > 0 {
		c.add(finding.Finding{ID: finding.PortListIncomplete, Level: finding.Wrong, Subject: c.Settings.List,
			Message: fmt.Sprintf("configured, but not in the list %s: %s", c.Settings.List, finding.DescribePorts(missing)), Remedy: c.updateList()})
	}
	if extra := without(listed, found); len(extra) > 0 && len(found) > 0 {
		c.add(finding.Finding{ID: finding.PortListExtra, Level: finding.Note, Subject: c.Settings.List,
			Message: fmt.Sprintf("in the list %s, but in no configuration that was found: %s", c.Settings.List, finding.DescribePorts(extra)),
			Remedy:  "write the list again: ssmonitor setup\nor, to go on counting a port, name it: ssmonitor setup --port 20000=alice"})
	}
	if notServed := without(listed, served); len(notServed) > 0 && len(served) > 0 {
		f := finding.Finding{ID: finding.PortListNotServed, Level: finding.Wrong, Subject: c.Settings.List,
			Message: fmt.Sprintf("in the list %s, but not counted by the agent: %s", c.Settings.List, finding.DescribePorts(notServed)),
			Remedy:  "have it read the list again: systemctl reload ssmonitor\nand " + seeLog}
		if c.portsAreSettling() {
			f.Level, f.Remedy = finding.Note, ""
			f.Message = fmt.Sprintf("in the list %s since just now: the agent counts it within an interval: %s", c.Settings.List, finding.DescribePorts(notServed))
		}
		c.add(f)
	}
}

// without returns the ports of which others lacks a protocol, each with the
// protocols that are missing.
func without(ports, others accounting.Ports) (missing accounting.Ports) {
	for _, port := range ports {
		other, _ := others.Find(port.Number)
		if port.Protocols &^= other.Protocols; port.Protocols != 0 {
			missing = append(missing, port)
		}
	}
	return missing
}

// checkListedTargets compares the targets in the list of ports with those that were
// found.
func (c *checker) checkListedTargets(listed, found []accounting.Target) {
	slices.SortFunc(listed, accounting.Target.Compare)
	missing := slices.DeleteFunc(slices.Clone(found), func(target accounting.Target) bool {
		_, known := slices.BinarySearchFunc(listed, target, accounting.Target.Compare)
		return known
	})
	if len(missing) > 0 {
		c.add(finding.Finding{ID: finding.PortListIncomplete, Level: finding.Wrong, Subject: c.Settings.List,
			Message: fmt.Sprintf("where ports are forwarded is configured, but not in the list %s: %s", c.Settings.List, describeTargets(missing)), Remedy: c.updateList()})
	}
}

// describeTargets describes the first few of many targets for people.
func describeTargets(targets []accounting.Target) string {
	const limit = 8
	var parts []string
	for _, target := range targets[:min(limit, len(targets))] {
		parts = append(parts, fmt.Sprintf("port %d to %s", target.Port, target))
	}
	if more := len(targets) - limit; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
