// Benchtable turns the output of package nft's benchmarks into the README's cost
// table, "What it costs":
//
//	go test -run '^$' -bench . -benchtime 25x -v ./nft | go run ./integration/benchtable
//
// It copies its input to stderr, so that progress and the other benchmarks are
// seen too. It fails if a benchmark failed or a row has no result.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

const header = "| | ports | ssmonitor | against | | ratio |\n|---|--:|--:|---|--:|--:|\n"

// row is a line of the table.
type row struct {
	benchmark string // without its number of ports
	ports     string
	what      string // what is measured
	against   string // what it is compared with
}

// rows are the lines of the table, in order.
var rows = []row{
	{"Packet/iptables-legacy", "3", "a packet, both hooks", "iptables-legacy, the blog post's rules"},
	{"Packet/iptables-legacy", "12", "a packet, both hooks", "iptables-legacy"},
	{"Packet/iptables-legacy", "100", "a packet, both hooks", "iptables-legacy"},
	{"Packet/one_plain_counter", "3", "a packet, both hooks", "one plain counter"},
	{"Packet/one_plain_counter", "1000", "a packet, both hooks", "one plain counter"},
	{"Packet/one_plain_counter", "10000", "a packet, both hooks", "one plain counter"},
	{"Reading/bare_loop", "3", "reading all counters", "the bare kernel dump"},
	{"Reading/bare_loop", "1000", "reading all counters", "the bare kernel dump"},
	{"Reading/bare_loop", "10000", "reading all counters", "the bare kernel dump"},
	{"Installing/nft_-f", "1000", "installing", "`nft -f` of the same"},
	{"Installing/nft_-f", "10000", "installing", "`nft -f` of the same"},
}

// resultLine matches the result of a benchmark: its name, the number of ports,
// and pairs of figure and unit.
var resultLine = regexp.MustCompile(`^Benchmark(\w+/.+)/(\d+)(?:-\d+)?\s+\d+\s(.+)$`)

func run(in io.Reader, out, progress io.Writer) error {
	failed, results := false, make(map[string]map[string]float64)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(progress, line)
		failed = failed || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL")
		match := resultLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		figures, err := parseFigures(strings.Fields(match[3]))
		if err != nil {
			return fmt.Errorf("reading %q: %w", line, err)
		}
		results[match[1]+"/"+match[2]] = figures
	}
	switch {
	case lines.Err() != nil:
		return fmt.Errorf("reading the benchmarks' output: %w", lines.Err())
	case failed:
		return errors.New("a benchmark failed")
	}
	return write(out, results)
}

func write(out io.Writer, results map[string]map[string]float64) error {
	var table strings.Builder
	table.WriteString(header)
	for _, r := range rows {
		name := r.benchmark + "/" + r.ports
		figures, found := results[name]
		if !found {
			return fmt.Errorf("benchmark %s has no result: run all benchmarks of ./nft", name)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %.2f |\n", r.what, thousands(r.ports),
			duration(figures["ns/op"]), r.against, duration(figures["other-ns/op"]), figures["ratio"])
	}
	_, err := io.WriteString(out, table.String())
	return err
}

// parseFigures returns the figures by their units.
func parseFigures(fields []string) (map[string]float64, error) {
	figures := make(map[string]float64)
	for ; len(fields) >= 2; fields = fields[2:] {
		figure, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return nil, err
		}
		figures[fields[1]] = figure
	}
	return figures, nil
}

// duration formats nanoseconds with three digits and a suitable unit.
func duration(nanoseconds float64) string {
	value, unit := nanoseconds, "ns"
	for _, next := range []string{"µs", "ms", "s"} {
		if value < 999.5 {
			break
		}
		value, unit = value/1000, next
	}
	digits := 0
	switch {
	case value < 9.995:
		digits = 2
	case value < 99.95:
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + unit
}

// thousands sets a comma before the last three digits of up to six.
func thousands(digits string) string {
	if at := len(digits) - 3; at > 0 {
		return digits[:at] + "," + digits[at:]
	}
	return digits
}
