package sources

import (
	"errors"
	"fmt"
	"strconv"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks"
)

// What all configurations together may take, far above what any host has. Anybody
// who may write one of them could otherwise take the memory of the unit, and the
// processor.
const (
	// maxFiles is a file for each port.
	maxFiles = 1 << 16
	// maxBytes is the sum of the sizes of the files, without databases, of which
	// little is read.
	maxBytes = 32 << 20
	// maxPorts is every port in four files.
	maxPorts = 4 * 65535
	// maxText is the bytes of the sources of the ports in the list.
	maxText = 16 << 20
	// maxNames is the bytes of names. The metrics repeat a name in some twenty lines.
	maxNames = 2 << 20
	// maxNotes is as many as somebody may read.
	maxNotes = 200
)

// ErrTooMuch means that a file was not read, or what it says not taken, since all
// files together have too much.
var ErrTooMuch = errors.New("too much in all configurations together")

// quota is what the configurations have taken so far of what they may.
type quota struct {
	files int
	bytes int64
	read  content
	// kept is of files that can't be read any more. They have as much room as those that
	// are read: without a bound, files that take turns in being broken would add up.
	kept content
}

// content is how much is in configurations.
type content struct{ ports, text, names int }

// addFile adds the file at path, unless there is no room for it. It does not report
// what is wrong with the file itself.
func (q *quota) addFile(path string) error {
	if q.files == maxFiles {
		return fmt.Errorf("%s: %w: want at most %d files", path, ErrTooMuch, maxFiles)
	}
	q.files++
	size := shadowsocks.Size(path)
	if size > maxBytes-q.bytes {
		return fmt.Errorf("%s: %w: want at most %d bytes; the files before have %d, and this one %d", path, ErrTooMuch, maxBytes, q.bytes, size)
	}
	q.bytes += size
	return nil
}

// add adds the ports of a source, unless there is no room for them.
func (c *content) add(source string, ports []accounting.Port) error {
	mark := len(strconv.QuoteToASCII(source)) // above each group of ports of the list
	text, names := mark*len(ports), 0
	for _, port := range ports {
		names += len(port.Name)
	}
	switch {
	case len(ports) > maxPorts-c.ports:
		return fmt.Errorf("%s: %w: want at most %d ports; the files before have %d, and this one %d", source, ErrTooMuch, maxPorts, c.ports, len(ports))
	case text > maxText-c.text:
		return fmt.Errorf("%s: %w: want a shorter path for so many ports", source, ErrTooMuch)
	case names > maxNames-c.names:
		return fmt.Errorf("%s: %w: want names of at most %d bytes; the files before have %d, and this one %d", source, ErrTooMuch, maxNames, c.names, names)
	}
	c.ports += len(ports)
	c.text += text
	c.names += names
	return nil
}
