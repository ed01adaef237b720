package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
)

// Configurations returns the findings about Shadowsocks' configurations. found
// and err are what Load of package sources returned.
func Configurations(found sources.Result, err error) (findings []finding.Finding) {
	running, others := runningServers(found.Entries)
	for _, config := range found.Configs {
		findings = append(findings, finding.Finding{ID: finding.Configuration, Level: finding.OK, Subject: config.Path,
			Message: fmt.Sprintf("configuration %s: %s%s: %s", config.Path, config.Form, running[config.Path], finding.DescribePorts(config.Ports))})
	}
	for _, source := range slices.Sorted(maps.Keys(others)) {
		findings = append(findings, finding.Finding{ID: finding.Configuration, Level: finding.OK, Subject: source, Message: fmt.Sprintf("%s: %s", source, finding.DescribePorts(others[source]))})
	}
	for _, note := range found.Notes {
		f := failure(finding.Configuration, pathOf(note), note, remedyOf(note))
		if f.Level != finding.Unknown {
			f.Level = finding.Note
		}
		findings = append(findings, f)
	}
	for _, err := range separate(err) {
		findings = append(findings, failure(finding.Configuration, pathOf(err), err, "correct or remove the file, or name another"))
	}
	if len(findings) == 0 && len(found.Ports) == 0 {
		findings = append(findings, finding.Finding{ID: finding.ConfigurationSearch, Level: finding.Note, Message: "no Shadowsocks configuration was found in the usual places",
			Remedy: "if there is one, name it: ssmonitor setup --shadowsocks FILE"})
	}
	return findings
}

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

// List compares the list of ports at path with the ports that were found and
// with those that a running agent serves; either may be empty. It also returns
// the ports that should be counted.
func List(path string, found, served accounting.Ports) ([]finding.Finding, accounting.Ports) {
	listed, err := portlist.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(served) > 0:
		return []finding.Finding{{ID: finding.PortList, Level: finding.Note, Subject: path, Message: fmt.Sprintf("there is no list of ports %s: the agent counts those that it was started with", path)}}, served
	case errors.Is(err, fs.ErrNotExist):
		return []finding.Finding{{ID: finding.PortList, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("there is no list of ports %s: the agent has nothing to count", path), Remedy: writeList(found)}}, found
	case err != nil:
		return []finding.Finding{failure(finding.PortList, path, err, "write it again: ssmonitor setup")}, served
	case len(listed) == 0:
		return []finding.Finding{{ID: finding.PortList, Level: finding.Wrong, Subject: path, Message: fmt.Sprintf("the list of ports %s is empty", path), Remedy: writeList(found)}}, found
	}
	ports, _ := accounting.Union(listed)
	findings := []finding.Finding{{ID: finding.PortList, Level: finding.OK, Subject: path, Message: fmt.Sprintf("list of ports %s: %s", path, finding.DescribePorts(ports))}}
	return append(findings, compareList(path, ports, found, served)...), ports
}

// updateList is the remedy for a list that lacks what is configured.
const updateList = "update it: ssmonitor setup\nand have that done at every change: systemctl enable --now ssmonitor-setup.service"

// writeList returns the remedy for a list that is missing or empty.
func writeList(found accounting.Ports) string {
	if len(found) > 0 {
		return "write it: ssmonitor setup"
	}
	return "name the ports: ssmonitor setup --port 20000=alice --port 20001=bob\n" +
		"or Shadowsocks' configuration: ssmonitor setup --shadowsocks FILE"
}

func compareList(path string, listed, found, served accounting.Ports) (findings []finding.Finding) {
	if missing := without(found, listed); len(missing) > 0 {
		findings = append(findings, finding.Finding{ID: finding.PortListIncomplete, Level: finding.Wrong, Subject: path,
			Message: fmt.Sprintf("configured, but not in the list %s: %s", path, finding.DescribePorts(missing)),
			Remedy:  updateList})
	}
	if extra := without(listed, found); len(extra) > 0 && len(found) > 0 {
		findings = append(findings, finding.Finding{ID: finding.PortListExtra, Level: finding.Note, Subject: path,
			Message: fmt.Sprintf("in the list %s, but in no configuration that was found: %s", path, finding.DescribePorts(extra)),
			Remedy:  "nothing, if they were named with --port; else write the list again: ssmonitor setup"})
	}
	if notServed := without(listed, served); len(notServed) > 0 && len(served) > 0 {
		findings = append(findings, finding.Finding{ID: finding.PortListNotServed, Level: finding.Wrong, Subject: path,
			Message: fmt.Sprintf("in the list %s, but not counted by the agent: %s", path, finding.DescribePorts(notServed)),
			Remedy:  "have it read the list again: systemctl reload ssmonitor\nand " + seeLog})
	}
	return findings
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
