// Package csv writes rates as a CSV file, one line per port, as the script that
// ssmonitor replaces did.
package csv

import (
	"fmt"
	"strconv"

	"ssmonitor/accounting"
	"ssmonitor/internal/atomicfile"
)

// appendRates appends the rates of a report to dst, one line per port, and returns
// the extended slice. A line such as
//
//	20000,12.500,14.000,1834.221,98211.007
//
// holds the port, packets in, packets out, bytes in and bytes out, each per
// second, TCP and UDP together. Ports whose rates are unknown are omitted.
// It does not allocate if dst is large enough.
func appendRates(dst []byte, report *accounting.Report) []byte {
	for i := range report.Ports {
		port := &report.Ports[i]
		if !port.RatesKnown {
			continue
		}
		sum := port.Sum()
		dst = strconv.AppendUint(dst, uint64(port.Port.Number), 10)
		for _, rate := range [...]float64{
			sum.In.Rate.Packets, sum.Out.Rate.Packets,
			sum.In.Rate.Bytes, sum.Out.Rate.Bytes,
		} {
			dst = strconv.AppendFloat(append(dst, ','), rate, 'f', 3, 64)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// File is the file in which the CSV is published. It is used by one goroutine.
type File struct {
	atomicfile.Volatile
	buffer []byte
}

// NewFile returns the CSV file at that path without touching it. Call
// RemoveStale once it is certain that no other agent is running.
func NewFile(path string) *File {
	return &File{Volatile: atomicfile.Volatile{Path: path}}
}

// Write replaces the file with the rates of the report. If the report has no
// rates yet (its Interval is 0), Write removes the file.
// After an error the file is unchanged.
func (f *File) Write(report *accounting.Report) error {
	if report.Interval <= 0 {
		return f.Remove()
	}
	f.buffer = appendRates(f.buffer[:0], report)
	if err := f.Replace(f.buffer); err != nil {
		return fmt.Errorf("writing the rates to %s: %w", f.Path, err)
	}
	return nil
}
