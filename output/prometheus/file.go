package prometheus

import (
	"bytes"
	"context"
	"fmt"

	"ssmonitor/accounting"
	"ssmonitor/internal/atomicfile"
)

// File is a file for the textfile collector of node_exporter. It is used
// by one goroutine.
type File struct {
	atomicfile.Published
	metrics *Metrics
	buffer  []byte
}

// NewFile returns the file at that path without touching it. Call
// RemoveStale once it is certain that no other agent is running.
func NewFile(path string, metrics *Metrics) *File {
	return &File{Published: atomicfile.Published{Path: path}, metrics: metrics}
}

// Write replaces the file with the metrics of the report, whose totals must be
// saved. Without a report, the file has the metrics of the agent itself and the
// usage of the month. The metrics of the process are never in it: node_exporter
// has some of the same names. After an error the file is unchanged.
func (f *File) Write(ctx context.Context, report *accounting.Report) error {
	source := f.metrics.options.Source
	r := &reading{Options: &f.metrics.options, report: report, status: source.Status()}
	r.month, _ = source.Month(ctx)
	page := bytes.NewBuffer(f.buffer[:0])
	err := r.write(page, formats[0])
	if err == nil {
		f.buffer = page.Bytes()
		err = f.Replace(f.buffer)
	}
	if err != nil {
		return fmt.Errorf("writing the metrics to %s: %w", f.Path, err)
	}
	return nil
}
