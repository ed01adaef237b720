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
	atomicfile.Volatile
	metrics *Metrics
	page    bytes.Buffer
}

// NewFile returns the file at that path without touching it. Call
// RemoveStale once it is certain that no other agent is running.
func NewFile(path string, metrics *Metrics) *File {
	return &File{Volatile: atomicfile.Volatile{Path: path}, metrics: metrics}
}

// Write replaces the file with the metrics of the report, whose totals must be
// saved. Without a report, the file has the metrics of the agent itself and the
// usage of the month. The metrics of the process are never in it: node_exporter
// has some of the same names. After an error the file is unchanged.
func (f *File) Write(ctx context.Context, report *accounting.Report) error {
	f.page.Reset()
	err := f.metrics.readingOf(ctx, report).write(&f.page, textFormat)
	if err == nil {
		err = f.Replace(f.page.Bytes())
	}
	if err != nil {
		return fmt.Errorf("writing the metrics to %s: %w", f.Path, err)
	}
	return nil
}
