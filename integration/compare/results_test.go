package compare_test

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is a figure.
type row struct {
	measure, alternative string
	ports, round         int
	value                float64 // nanoseconds or bytes
	note                 string  // why there is no value; empty if there is one
}

// results are all figures of a run.
type results struct {
	machine string // and the versions of the programs
	rows    []row
}

// values returns the figures of a cell, one for each round.
func (r *results) values(measure, alternative string, ports int) (values []float64) {
	for _, row := range r.rows {
		if row.measure == measure && row.alternative == alternative && row.ports == ports && row.note == "" {
			values = append(values, row.value)
		}
	}
	return values
}

// median returns the median of a cell, and false if it has no figure.
func (r *results) median(measure, alternative string, ports int) (float64, bool) {
	values := r.values(measure, alternative, ports)
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2, true
}

// ports returns the numbers of ports that were measured, in order.
func (r *results) ports() (ports []int) {
	for _, row := range r.rows {
		ports = append(ports, row.ports)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

var columns = []string{"measure", "alternative", "ports", "round", "value", "note"}

// writeCSV writes the machine as the first line, and a line per figure.
func (r *results) writeCSV(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "# %s\n", r.machine); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	records := [][]string{columns}
	for _, row := range r.rows {
		value := ""
		if row.note == "" {
			value = strconv.FormatFloat(row.value, 'f', 0, 64)
		}
		records = append(records, []string{row.measure, row.alternative, strconv.Itoa(row.ports), strconv.Itoa(row.round), value, row.note})
	}
	return out.WriteAll(records)
}

// readCSV reads what writeCSV has written.
func readCSV(t *testing.T, path string) (r results) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(content), "\n")
	r.machine = strings.TrimPrefix(first, "# ")
	records, err := csv.NewReader(strings.NewReader(rest)).ReadAll()
	if err != nil || len(records) == 0 || !slices.Equal(records[0], columns) {
		t.Fatalf("%s: want a line with the columns %v: %v", path, columns, err)
	}
	for _, record := range records[1:] {
		row := row{measure: record[0], alternative: record[1], note: record[5]}
		row.ports, _ = strconv.Atoi(record[2])
		row.round, _ = strconv.Atoi(record[3])
		row.value, _ = strconv.ParseFloat(record[4], 64)
		r.rows = append(r.rows, row)
	}
	return r
}

// publish writes the files that the README refers to, and its section, with the
// figures as results.csv rounds them.
func (r *results) publish(t *testing.T) {
	t.Helper()
	r.write(t, ".")
	rounded := readCSV(t, "results.csv")
	rounded.write(t, ".")
	writeREADME(t, section(&rounded))
}

// write writes the figures and the plots into a directory.
func (r *results) write(t *testing.T, directory string) {
	t.Helper()
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	create := func(name string, write func(io.Writer) error) {
		file, err := os.Create(filepath.Join(directory, name))
		if err == nil {
			err = write(file)
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			t.Fatalf("writing %s: %v", name, err)
		}
	}
	create("results.csv", r.writeCSV)
	for _, p := range plots {
		create(p.file, func(w io.Writer) error { return p.draw(r, w) })
	}
}
