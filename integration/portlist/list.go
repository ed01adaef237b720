package portlist

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"ssmonitor/accounting"
	"ssmonitor/integration/configfile"
)

const (
	// maxSize has room for every port with the longest of names.
	maxSize = 64 << 20
	// maxPorts is every port once for TCP and once for UDP. It keeps a list of
	// many wide ranges from taking all memory.
	maxPorts = 2 * 65535
)

const header = `# The ports that ssmonitor counts, written by "ssmonitor setup", which replaces this file.
# One a line: PORT[-PORT][/tcp|/udp][=NAME]; a comment needs a line of its own.
`

// ErrJSON says that a Shadowsocks configuration was given for the list of
// ports, for errors.Is.
var ErrJSON = errors.New("this is JSON, expected one PORT[-PORT][/tcp|/udp][=NAME] a line: " +
	"name a Shadowsocks configuration with --shadowsocks")

// Read reads the list of ports at path, in the order of its lines; use
// [accounting.Union] to merge them. A list that names no port is no error.
// A missing file is fs.ErrNotExist, anything but a regular file of bounded
// size is an error of package configfile, a line that can't be read is a
// *SpecError or ErrJSON; all name the file, the last two the line too.
func Read(path string) ([]accounting.Port, error) {
	data, err := configfile.Read(path, maxSize)
	if err != nil {
		return nil, fmt.Errorf("reading the list of ports: %w", err)
	}
	ports, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("reading the list of ports: %s: %w", path, err)
	}
	return ports, nil
}

// Parse reads a list of ports from memory, as [Read] does from a file. Its
// errors name the line.
func Parse(data []byte) ([]accounting.Port, error) {
	var ports []accounting.Port
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		// Such a file may hold passwords, which a SpecError would show.
		if line[0] == '{' {
			return nil, fmt.Errorf("line %d: %w", number, ErrJSON)
		}
		named, err := ParseSpec(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if len(ports)+len(named) > maxPorts {
			return nil, fmt.Errorf("line %d: more than %d ports so far: expected each port once, or once for each protocol",
				number, maxPorts)
		}
		ports = append(ports, named...)
	}
	return ports, nil
}

// Format returns the list as [Write] writes it: a comment that says what the
// file is, and one port a line, sorted by number.
func Format(ports []accounting.Port) ([]byte, error) {
	var list strings.Builder
	list.WriteString(header)
	sorted := slices.Clone(ports)
	slices.SortStableFunc(sorted, func(a, b accounting.Port) int { return int(a.Number) - int(b.Number) })
	for _, port := range sorted {
		spec := FormatSpec(port)
		// What can't be read back must not be written.
		if read, err := ParseSpec(spec); err != nil {
			return nil, err
		} else if len(read) != 1 || read[0] != port {
			return nil, fmt.Errorf("port %d: expected a protocol to count and a name without white space around it", port.Number)
		}
		list.WriteString(spec)
		list.WriteByte('\n')
	}
	return []byte(list.String()), nil
}

// Write replaces the list of ports at path atomically and makes its directory
// where it is missing. Everybody may read the list: it holds no secret. A port
// that Read would not return as it is, such as one with a line break in its
// name, is an error, and then the list is left as it was.
func Write(path string, ports []accounting.Port) error {
	list, err := Format(ports)
	if err != nil {
		return fmt.Errorf("writing the list of ports %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the list of ports: %w", err)
	}
	if err := replace(path, list); err != nil {
		return fmt.Errorf("writing the list of ports: %w", err)
	}
	return nil
}

// replace is renameio.WriteFile, but for the mode, which is to be the same
// whatever the umask or the file before say.
func replace(path string, data []byte) error {
	file, err := renameio.NewPendingFile(path,
		renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o644))
	if err != nil {
		return err
	}
	defer file.Cleanup() //nolint:errcheck // does nothing after the replacement; before it, the first error counts
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}
