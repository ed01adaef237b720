package interfaces

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	routes4 = netDirectory + "route"      // of table main alone, and the first hop of each
	routes6 = netDirectory + "ipv6_route" // of all tables; missing without IPv6
)

// longestDefault is the length of the longest prefix of a default route. Two routes
// to one half of all addresses each count as well: some VPNs have these.
const longestDefault = 1

// ErrMalformed means that a file of the kernel has an unknown form.
var ErrMalformed = errors.New("the kernel's file has an unknown form")

// Uplinks returns the names of the interfaces with a default route, each once. Of
// IPv4 the kernel shows only table main here, and of a route with several hops the
// first.
func Uplinks() ([]string, error) {
	var names []string
	add := func(name []byte) {
		if !slices.Contains(names, string(name)) {
			names = append(names, string(name))
		}
	}
	err := eachLine(routes4, func(line []byte) error {
		if name := field(line, 0); string(name) != "Iface" && string(name) != "*" { // the heading; a route to nowhere
			ok, err := isDefault4(line)
			if ok {
				add(name)
			}
			return err
		}
		return nil
	})
	err = errors.Join(err, eachLine(routes6, func(line []byte) error {
		ok, err := isDefault6(line)
		if ok {
			add(field(line, 9))
		}
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("listing the default routes: %w", err)
	}
	return names, nil
}

// isDefault4 reads a line that fib_route_seq_show of net/ipv4/fib_trie.c writes:
//
//	Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
func isDefault4(line []byte) (ok bool, err error) {
	mask, err := strconv.ParseUint(string(field(line, 7)), 16, 32)
	if err != nil {
		return false, malformed(routes4, line)
	}
	if bits.OnesCount64(mask) > longestDefault {
		return false, nil
	}
	return isUsable(routes4, line, 3)
}

// isDefault6 reads a line that rt6_info_route of net/ipv6/route.c writes: the
// destination, its length, the source, its length, the next hop, the metric, two
// counts, the flags and the interface.
func isDefault6(line []byte) (ok bool, err error) {
	length, err := strconv.ParseUint(string(field(line, 1)), 16, 8)
	if err != nil {
		return false, malformed(routes6, line)
	}
	if length > longestDefault {
		return false, nil
	}
	return isUsable(routes6, line, 8)
}

// isUsable reports whether a route leads anywhere.
func isUsable(path string, line []byte, column int) (ok bool, err error) {
	flags, err := strconv.ParseUint(string(field(line, column)), 16, 32)
	if err != nil {
		return false, malformed(path, line)
	}
	return flags&unix.RTF_REJECT == 0, nil
}

// eachLine passes the lines of a file to visit. A file that is missing has none.
func eachLine(path string, visit func([]byte) error) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if err := visit(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// field returns a field of a line, counted from 0, or nil if it has too few. Unlike
// bytes.Fields it makes nothing for the garbage collector: routing tables are long.
func field(line []byte, column int) []byte {
	for {
		line = bytes.TrimLeft(line, " \t")
		end := bytes.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		if column == 0 || end == 0 {
			return line[:end]
		}
		line, column = line[end:], column-1
	}
}

func malformed(path string, line []byte) error {
	return fmt.Errorf("%s: %w: %q", path, ErrMalformed, line)
}
