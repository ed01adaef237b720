package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// row is a line of the CSV: packets and bytes per second.
type row struct {
	packetsIn, packetsOut, bytesIn, bytesOut float64
}

// parse reads the agent's CSV into rows by port.
func parse(csv string) (map[int]row, error) {
	rows := make(map[int]row)
	for line := range strings.Lines(csv) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		if len(fields) != 5 {
			return nil, fmt.Errorf("CSV line %q has %d fields, want 5", line, len(fields))
		}
		var numbers [5]float64
		for i, field := range fields {
			number, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return nil, fmt.Errorf("CSV line %q: %w", line, err)
			}
			numbers[i] = number
		}
		rows[int(numbers[0])] = row{numbers[1], numbers[2], numbers[3], numbers[4]}
	}
	return rows, nil
}

// view is the live table. On a terminal it is redrawn in place; elsewhere each
// table is printed below the last.
type view struct {
	out      io.Writer
	terminal bool
	lines    int // that the last table took
}

func newView(out io.Writer) *view {
	v := &view{out: out}
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		v.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return v
}

// draw shows the rates of a CSV.
func (v *view) draw(csv string) error {
	rows, err := parse(csv)
	if err != nil {
		return err
	}
	var table strings.Builder
	if v.terminal && v.lines > 0 {
		fmt.Fprintf(&table, "\x1b[%dA\x1b[J", v.lines) // up, and clear to the end
	}
	fmt.Fprintf(&table, "\n%6s  %-6s %12s %12s %12s %12s  %s\n", "PORT", "CLIENT", "IN kB/s", "OUT kB/s", "IN packet/s", "OUT packet/s", "WHAT IT DOES")
	for _, client := range clients {
		if r, found := rows[client.port]; found {
			fmt.Fprintf(&table, "%6d  %-6s %12.1f %12.1f %12.1f %12.1f  %s\n", client.port, client.name,
				r.bytesIn/1000, r.bytesOut/1000, r.packetsIn, r.packetsOut, client.does)
		}
	}
	v.lines = strings.Count(table.String(), "\n")
	_, err = io.WriteString(v.out, table.String())
	return err
}
