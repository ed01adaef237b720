package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/configfile"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
)

// Configurations says what the sources of ports gave, where err is that of
// their Load.
func Configurations(found sources.Result, err error) (findings []Finding) {
	for _, config := range found.Configs {
		findings = append(findings, Finding{OK,
			fmt.Sprintf("configuration %s (%s): %s", config.Path, config.Form, DescribePorts(config.Ports)), ""})
	}
	for _, note := range found.Notes {
		findings = append(findings, aboutConfiguration(note))
	}
	for _, failure := range joined(err) {
		findings = append(findings, Failure(failure, "mend the file, or name another"))
	}
	if len(findings) == 0 && len(found.Ports) == 0 {
		findings = append(findings, Finding{Note, "no Shadowsocks configuration was found in the usual places",
			"if there is one, name it: ssmonitor setup --shadowsocks FILE"})
	}
	return findings
}

// joined returns the errors that errors.Join made one.
func joined(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// aboutConfiguration is about what a search met: it tells a file that can't be
// understood from what is only worth knowing.
func aboutConfiguration(err error) Finding {
	broken := errors.As(err, new(*shadowsocks.SyntaxError)) || errors.As(err, new(*shadowsocks.ValueError)) ||
		errors.Is(err, configfile.ErrNotRegular) || errors.Is(err, configfile.ErrTooLarge) || errors.Is(err, fs.ErrNotExist)
	if broken || errors.Is(err, fs.ErrPermission) {
		return Failure(err, "mend or remove the file: its ports are not counted")
	}
	return Finding{Note, err.Error(), ""}
}

// List compares the list of ports at path with the ports that were found and
// with those that a running agent counts; either may be empty. It returns what
// there is to be counted as well.
func List(path string, found, counted accounting.Ports) ([]Finding, accounting.Ports) {
	listed, err := portlist.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(counted) > 0:
		return []Finding{{Note, fmt.Sprintf("there is no list of ports %s: the agent counts those that it was started with", path), ""}}, counted
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{{Wrong, fmt.Sprintf("there is no list of ports %s: the agent has nothing to count", path), writeList(found)}}, found
	case err != nil:
		return []Finding{Failure(err, "write it anew: ssmonitor setup")}, counted
	case len(listed) == 0:
		return []Finding{{Wrong, fmt.Sprintf("the list of ports %s is empty", path), writeList(found)}}, found
	}
	ports, _ := accounting.Union(listed)
	findings := []Finding{{OK, fmt.Sprintf("list of ports %s: %s", path, DescribePorts(ports)), ""}}
	return append(findings, compareList(path, ports, found, counted)...), ports
}

func writeList(found accounting.Ports) string {
	if len(found) > 0 {
		return "write it: ssmonitor setup"
	}
	return "name the ports: ssmonitor setup --port 20000=alice --port 20001=bob\n" +
		"or Shadowsocks' configuration: ssmonitor setup --shadowsocks FILE"
}

func compareList(path string, listed, found, counted accounting.Ports) (findings []Finding) {
	if lost := without(found, listed); len(lost) > 0 {
		findings = append(findings, Finding{Wrong,
			fmt.Sprintf("configured, but not in the list %s: %s", path, DescribePorts(lost)),
			"take them over: ssmonitor setup\nand have that done at every change: systemctl enable --now ssmonitor-setup.path"})
	}
	if extra := without(listed, found); len(extra) > 0 && len(found) > 0 {
		findings = append(findings, Finding{Note,
			fmt.Sprintf("in the list %s, but in no configuration that was found: %s", path, DescribePorts(extra)),
			"nothing, if they were named with --port; else write the list anew: ssmonitor setup"})
	}
	if uncounted := without(listed, counted); len(uncounted) > 0 && len(counted) > 0 {
		findings = append(findings, Finding{Wrong,
			fmt.Sprintf("in the list %s, but not counted by the agent: %s", path, DescribePorts(uncounted)),
			"let it read the list again: systemctl reload ssmonitor\nand see its log: journalctl --unit ssmonitor"})
	}
	return findings
}

// without returns the ports of which others lacks a protocol, each with those
// that it lacks.
func without(ports, others accounting.Ports) (lost accounting.Ports) {
	for _, port := range ports {
		other, _ := others.Find(port.Number)
		if port.Protocols &^= other.Protocols; port.Protocols != 0 {
			lost = append(lost, port)
		}
	}
	return lost
}

// DescribePorts names ports in words for people: neighbours as a range, a single
// protocol by its name, and no more than the first few.
func DescribePorts(ports []accounting.Port) string {
	const most = 8
	sorted, _ := accounting.Union(ports)
	var ranges []string
	for len(sorted) > 0 {
		if len(ranges) == most {
			ranges = append(ranges, fmt.Sprintf("and %d more", len(sorted)))
			break
		}
		first, length := sorted[0], 1
		for length < len(sorted) && sorted[length].Number == sorted[length-1].Number+1 && sorted[length].Protocols == first.Protocols {
			length++
		}
		ranges = append(ranges, describeRange(first, sorted[length-1].Number))
		sorted = sorted[length:]
	}
	if len(ranges) == 0 {
		return "no port"
	}
	noun := "ports "
	if len(ranges) == 1 && !strings.Contains(ranges[0], "-") {
		noun = "port "
	}
	return noun + strings.Join(slices.Clip(ranges), ", ")
}

func describeRange(first accounting.Port, last uint16) string {
	text := fmt.Sprint(first.Number)
	if last != first.Number {
		text += fmt.Sprintf("-%d", last)
	}
	switch first.Protocols {
	case accounting.OnlyTCP:
		return text + "/tcp"
	case accounting.OnlyUDP:
		return text + "/udp"
	}
	return text
}
