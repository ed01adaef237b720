// Benchtable makes the README's table out of what the benchmarks of package nft
// print:
//
//	go test -run '^$' -bench . -benchtime 25x -v ./nft | go run ./nft/benchtable
//
// What it reads it also shows on stderr. It fails where a benchmark failed.
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

// resultLine is one benchmark's result: what is measured, what it is held
// against, the number of ports, and pairs of figure and unit.
var resultLine = regexp.MustCompile(`^Benchmark(\w+)/(.+)/(\d+)(?:-\d+)?\s+\d+\s(.+)$`)

func run(in io.Reader, out, progress io.Writer) error {
	failed, rows := false, 0
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(progress, line)
		failed = failed || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL")
		match := resultLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		figures, err := parseFigures(strings.Fields(match[4]))
		if err != nil {
			return fmt.Errorf("reading %q: %w", line, err)
		}
		if rows == 0 {
			fmt.Fprint(out, "| | ports | ssmonitor | allocations | against | | ratio |\n|---|--:|--:|--:|---|--:|--:|\n")
		}
		rows++
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %.2f |\n",
			strings.ToLower(match[1]), thousands(match[3]), duration(figures["ns/op"]), allocations(figures),
			strings.ReplaceAll(match[2], "_", " "), duration(figures["other-ns/op"]), figures["ratio"])
	}
	switch {
	case lines.Err() != nil:
		return fmt.Errorf("reading the benchmarks' output: %w", lines.Err())
	case failed:
		return errors.New("a benchmark failed")
	case rows == 0:
		return errors.New("no benchmark's result was read")
	}
	return nil
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

// duration writes nanoseconds with three digits and a unit that fits.
func duration(nanoseconds float64) string {
	value, unit := nanoseconds, "ns"
	for _, next := range []string{"µs", "ms", "s"} {
		if value < 999.5 {
			break
		}
		value, unit = value/1000, next
	}
	return fmt.Sprintf("%.3g %s", value, unit)
}

// allocations is empty where they were not counted.
func allocations(figures map[string]float64) string {
	if count, counted := figures["allocations"]; counted {
		return strconv.FormatFloat(count, 'f', -1, 64)
	}
	return ""
}

// thousands sets a comma before the last three digits of up to six.
func thousands(digits string) string {
	if at := len(digits) - 3; at > 0 {
		return digits[:at] + "," + digits[at:]
	}
	return digits
}
