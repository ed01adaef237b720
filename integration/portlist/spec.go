package portlist

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"ssmonitor/accounting"
)

// SpecError describes a specification of ports that can't be read. Inspect it
// with errors.As.
type SpecError struct {
	Spec     string // the whole specification
	Value    string // the part of it that is wrong
	Offset   int    // of that part, in bytes
	Expected string // what should stand in its place
}

// Error names the specification, the wrong part and what should stand there.
func (e *SpecError) Error() string {
	if e.Value == e.Spec {
		return fmt.Sprintf("port %s: want %s", quote(e.Spec), e.Expected)
	}
	return fmt.Sprintf("port %s: %s: want %s", quote(e.Spec), quote(e.Value), e.Expected)
}

// LineError says where a list of ports can't be read. It does not say what stands
// there: the file may be another one, with passwords. Inspect it with errors.As.
type LineError struct {
	Line, Column int // from 1; the column in characters
	Expected     string
}

// Error names line and column, and what should stand there.
func (e *LineError) Error() string {
	return fmt.Sprintf("line %d, column %d: want %s", e.Line, e.Column, e.Expected)
}

// quote keeps a value that a mistake made very long from filling the screen.
func quote(value string) string {
	const longest = 64
	if len(value) <= longest {
		return strconv.Quote(value)
	}
	return strconv.Quote(value[:longest]) + "..."
}

const (
	expectedNumber   = "a port number from 1 to 65535, as in 20000, 20000-20009, 20000/tcp or 20000=alice"
	expectedRange    = "a range that begins with its lower port, as in 20000-20009"
	expectedProtocol = "tcp or udp after the slash, or no slash to count both"
)

// ParseSpec reads PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...[=NAME] and returns the
// ports it stands for in ascending order: both ends of a range included, all with
// the same protocols and name. Each @ names a target of each port, with the
// port's own number if no other is given. Targets are sorted, each once. The error
// is a *SpecError.
func ParseSpec(spec string) ([]accounting.Port, []accounting.Target, error) {
	numbers, name, named := strings.Cut(spec, "=")
	if named {
		nameAt := len(spec) - len(strings.TrimLeftFunc(name, unicode.IsSpace))
		name = strings.TrimSpace(name)
		if expected := accounting.NameFault(name); expected != "" {
			return nil, nil, &SpecError{spec, name, nameAt, expected}
		}
	}
	at := len(numbers) - len(strings.TrimLeftFunc(numbers, unicode.IsSpace))
	places := strings.Split(strings.TrimSpace(numbers), "@")
	numbers, protocol, limited := strings.Cut(places[0], "/")
	protocols := accounting.TCPAndUDP
	if limited {
		switch protocol {
		case "tcp":
			protocols = accounting.OnlyTCP
		case "udp":
			protocols = accounting.OnlyUDP
		default:
			return nil, nil, &SpecError{spec, protocol, at + len(numbers) + len("/"), expectedProtocol}
		}
	}
	first, last, err := parseRange(spec, numbers, at)
	if err != nil {
		return nil, nil, err
	}
	ports := make([]accounting.Port, 0, last-first+1)
	for number := first; number <= last; number++ {
		ports = append(ports, accounting.Port{Number: uint16(number), Protocols: protocols, Name: name})
	}
	targets, err := parseTargets(spec, ports, places[1:], at+len(places[0]))
	return ports, targets, err
}

// parseRange returns the first and the last port of PORT[-PORT], which is in spec at
// an offset. They are of type int so that a loop up to 65535 ends.
func parseRange(spec, numbers string, at int) (first, last int, err error) {
	low, high, isRange := strings.Cut(numbers, "-")
	first, err = parseNumber(spec, low, at)
	if err != nil || !isRange {
		return first, first, err
	}
	last, err = parseNumber(spec, high, at+len(low)+len("-"))
	if err == nil && last < first {
		err = &SpecError{spec, numbers, at, expectedRange}
	}
	return first, last, err
}

func parseNumber(spec, text string, at int) (int, error) {
	number, err := accounting.ParsePort(text)
	if err != nil {
		return 0, &SpecError{spec, text, at, expectedNumber}
	}
	return int(number), nil
}

// FormatSpec returns the specification of one port, which [ParseSpec] reads back.
// The targets are the port's, the same for each of its protocols.
func FormatSpec(port accounting.Port, targets ...accounting.Target) string {
	spec := []byte(strconv.Itoa(int(port.Number)))
	switch port.Protocols {
	case accounting.OnlyTCP:
		spec = append(spec, "/tcp"...)
	case accounting.OnlyUDP:
		spec = append(spec, "/udp"...)
	}
	for _, address := range addresses(targets) {
		spec = address.AppendTo(append(spec, '@'))
	}
	if port.Name != "" {
		spec = append(append(spec, '='), port.Name...)
	}
	return string(spec)
}
