package portlist

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ssmonitor/accounting"
	"ssmonitor/internal/atomicfile"
	"ssmonitor/internal/configfile"
)

const (
	// maxSize has room for every port with the longest of names.
	maxSize = 64 << 20
	// maxPorts is every port once for TCP and once for UDP. It keeps a list of
	// many wide ranges from taking all memory.
	maxPorts = 2 * 65535
	// mode is that of the list: it contains no secret.
	mode fs.FileMode = 0o644
)

const header = `# The ports that ssmonitor counts, written by "ssmonitor setup", which replaces this file.
# One per line: PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...[=NAME]; a comment needs a
# line of its own. What follows @ is where the host forwards the port.
# "from" names the source of the ports below it; "published" says that the host
# forwards them, as to a container.
`

const (
	// sourceMark begins a comment that names a source of the ports below it.
	sourceMark = "# from "
	// publishedMark is a comment that says that the ports below it are published.
	publishedMark = "# published"
)

// ErrNotAList means that a Shadowsocks configuration was given in place of the
// list of ports, for errors.Is.
var ErrNotAList = errors.New("this is JSON: want one PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...[=NAME] per line: " +
	"name a Shadowsocks configuration with --shadowsocks")

// Entry is a port of the list and where it came from.
type Entry struct {
	accounting.Port
	// Sources are the paths of configurations, as they are, flags such as --port, or
	// what a running server uses, as in "process ss-server: /srv/shadowsocks.json"; nil
	// where they are unknown, as in a list written by hand.
	Sources []string
	// Targets are where the host forwards the port, as far as that was named.
	Targets []accounting.Target
}

// Ports returns the ports of the entries, in their order.
func Ports(entries []Entry) []accounting.Port {
	ports := make([]accounting.Port, len(entries))
	for i, entry := range entries {
		ports[i] = entry.Port
	}
	return ports
}

// Targets returns the targets of the entries, in their order.
func Targets(entries []Entry) (targets []accounting.Target) {
	for _, entry := range entries {
		targets = append(targets, entry.Targets...)
	}
	return targets
}

// Read reads the list of ports at path, in the order of its lines; use
// [accounting.Union] to merge the ports. A list without any port is not an error. It
// returns fs.ErrNotExist for a missing file, an error of package configfile for
// anything but a regular file of bounded size, and a *LineError or
// ErrNotAList for a line that can't be read. All of them name the file, the last
// two the line as well.
func Read(path string) ([]Entry, error) {
	data, err := configfile.Read(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("reading the list of ports: %w", err)
	}
	entries, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("reading the list of ports: %s: %w", path, err)
	}
	return entries, nil
}

// WrittenBySetup reports whether [Write] wrote the file at path, as far as its first line
// says.
func WrittenBySetup(path string) bool {
	data, err := configfile.Read(path, maxSize)
	first, _, _ := strings.Cut(header, "\n")
	return err == nil && bytes.HasPrefix(data, []byte(first))
}

// parse reads a list of ports. Its errors name the line.
func parse(data []byte) ([]Entry, error) {
	var entries []Entry
	var sources []string
	number, afterMark, published, targetCount := 0, false, false, 0
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		number++
		whole := line
		line = bytes.TrimSpace(line)
		source, named := bytes.CutPrefix(line, []byte(sourceMark))
		if named || string(line) == publishedMark {
			if !afterMark {
				sources, published = nil, false // a new group of ports begins
			}
			if afterMark = true; named {
				sources = append(sources, sourceOf(string(bytes.TrimSpace(source))))
			} else {
				published = true
			}
			continue
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		afterMark = false
		if line[0] == '{' {
			return nil, fmt.Errorf("line %d: %w", number, ErrNotAList)
		}
		ports, targets, err := ParseSpec(string(line))
		if wrong, ok := errors.AsType[*SpecError](err); ok {
			at := bytes.Index(whole, line) + wrong.Offset
			return nil, &LineError{number, utf8.RuneCount(whole[:at]) + 1, wrong.Expected}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if len(entries)+len(ports) > maxPorts {
			return nil, fmt.Errorf("line %d: more than %d ports so far: want each port once, or once for each protocol",
				number, maxPorts)
		}
		if targetCount += len(targets); targetCount > maxTargets {
			return nil, fmt.Errorf("line %d: more than %d targets so far: want %s", number, maxTargets, expectedFewer)
		}
		own := len(targets) / len(ports) // they are sorted by port, and each port has as many
		for _, port := range ports {
			port.Published = published
			entries = append(entries, Entry{port, sources, targets[:own:own]})
			targets = targets[own:]
		}
	}
	return entries, nil
}

// format returns the list as [Write] writes it: a comment that explains the
// file, then the ports of each source, one per line, sorted by number.
func format(entries []Entry) ([]byte, error) {
	var list strings.Builder
	list.WriteString(header)
	for _, group := range groups(entries) {
		for _, source := range group[0].Sources {
			list.WriteString(markOf(source) + "\n")
		}
		if group[0].Published {
			list.WriteString(publishedMark + "\n")
		}
		for _, entry := range group {
			for _, part := range entry.perProtocol() {
				spec, err := part.line()
				if err != nil {
					return nil, err
				}
				list.WriteString(spec + "\n")
			}
		}
	}
	return []byte(list.String()), nil
}

// line returns the specification of the entry. What can't be read back is an error:
// it must not be written.
func (e Entry) line() (string, error) {
	spec, port := FormatSpec(e.Port, e.Targets...), e.Port
	port.Published = false // the mark says it
	ports, targets, err := ParseSpec(spec)
	switch {
	case err != nil:
		return "", err
	case len(ports) != 1 || ports[0] != port:
		return "", fmt.Errorf("port %d: want a protocol to count and a name without white space around it", e.Number)
	case !slices.Equal(targets, sorted(e.Targets)):
		return "", fmt.Errorf("port %d: want targets of its own protocols: %v", e.Number, e.Targets)
	}
	return spec, nil
}

// groups returns the entries by their sources and by whether they are published,
// those without any mark first, since no mark could end the group before them.
func groups(entries []Entry) [][]Entry {
	bySources := make(map[string]int)
	var groups [][]Entry
	for _, entry := range entries {
		key := fmt.Sprint(entry.Published, strings.Join(entry.Sources, "\x00"))
		i, found := bySources[key]
		if !found {
			i = len(groups)
			bySources[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], entry)
	}
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b Entry) int { return int(a.Number) - int(b.Number) })
	}
	slices.SortStableFunc(groups, func(a, b []Entry) int {
		if plainA, plainB := a[0].unmarked(), b[0].unmarked(); plainA != plainB {
			if plainA {
				return -1
			}
			return 1
		}
		return int(a[0].Number) - int(b[0].Number)
	})
	return groups
}

// unmarked reports whether no mark belongs above the entry.
func (e Entry) unmarked() bool { return len(e.Sources) == 0 && !e.Published }

// markOf returns the comment that names a source: the source itself, or quoted if it
// would not stay on one line, would not be read back as it is, or is very long.
func markOf(source string) string {
	if accounting.NameFault(source) != "" || strings.TrimSpace(source) != source || source[0] == '"' {
		source = fmt.Sprintf("%+q", source)
	}
	return sourceMark + source
}

// sourceOf returns the source in the text behind the mark.
func sourceOf(text string) string {
	if source, err := strconv.Unquote(text); err == nil && text[0] == '"' {
		return source
	}
	return text
}

// Write replaces the list of ports at path atomically and creates its directory
// if necessary. Everybody may read the list: it contains no secret. A port that
// Read would not return as it is, such as one with a line break in its name, is
// an error, and the list remains unchanged. A file that is right already is not
// replaced, so that nobody reads it again in vain, unless a killed process has left
// something beside it.
func Write(path string, entries []Entry) error {
	list, err := format(entries)
	if err != nil {
		return fmt.Errorf("writing the list of ports %s: %w", path, err)
	}
	if current, err := configfile.Read(path, maxSize); err == nil && bytes.Equal(current, list) && hasMode(path) && !atomicfile.Interrupted(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the list of ports: %w", err)
	}
	if err := atomicfile.Write(path, list, mode); err != nil {
		return fmt.Errorf("writing the list of ports: %w", err)
	}
	return nil
}

func hasMode(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode() == mode
}
