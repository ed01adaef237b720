package output

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"ssmonitor/accounting"
)

// AppendCSV appends the rates of a report to dst, one line per port, and returns
// the extended slice. A line such as
//
//	20000,12.500,14.000,1834.221,98211.007
//
// holds the port, packets in, packets out, bytes in and bytes out, each per
// second, TCP and UDP together. Ports whose rates are unknown are omitted.
// AppendCSV does not allocate if dst is large enough.
func AppendCSV(dst []byte, report *accounting.Report) []byte {
	for i := range report.Ports {
		port := &report.Ports[i]
		if !port.Rated {
			continue
		}
		sum := port.Sum()
		dst = strconv.AppendUint(dst, uint64(port.Port.Number), 10)
		for _, rate := range [...]float64{
			sum.In.Rate.Packets, sum.Out.Rate.Packets,
			sum.In.Rate.Bytes, sum.Out.Rate.Bytes,
		} {
			dst = append(dst, ',')
			dst = appendThousandths(dst, rate)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendThousandths appends a rate with three decimals, as strconv does, but
// several times as fast: the rates took more of a tick than all arithmetic.
func appendThousandths(dst []byte, rate float64) []byte {
	const most = 1 << 40
	scaled := rate * 1000 // with an error below 1e-3, since scaled is below 2^50
	below := math.Floor(scaled)
	if !(rate >= 0 && rate < most) || math.Abs(scaled-below-0.5) < 0.01 {
		return strconv.AppendFloat(dst, rate, 'f', 3, 64) // which rounds exactly
	}
	thousandths := uint64(math.Round(scaled))
	dst = strconv.AppendUint(dst, thousandths/1000, 10)
	rest := thousandths % 1000
	return append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

// CSVFile is the file in which the CSV is published. A reader sees one whole
// report, never a part of one. It is used by one goroutine, and by one agent
// at a time: a second one would write to the same temporary file.
type CSVFile struct {
	path    string
	buffer  []byte
	written bool // the file at path was written by this CSVFile
}

// NewCSVFile returns the CSV file at that path without touching it. Call
// RemoveStale once it is certain that no other agent is running.
func NewCSVFile(path string) *CSVFile {
	return &CSVFile{path: path}
}

// Write replaces the file with the rates of the report. If the report has no
// rates yet (its Interval is 0), Write removes the file.
// After an error the file is unchanged.
func (f *CSVFile) Write(report *accounting.Report) error {
	if report.Interval <= 0 {
		return f.Remove()
	}
	f.buffer = AppendCSV(f.buffer[:0], report)
	if err := replaceFile(f.path, f.buffer, 0o644); err != nil {
		return fmt.Errorf("writing the rates to %s: %w", f.path, err)
	}
	f.written = true
	return nil
}

// Remove removes the file if Write has written it and it still exists. It is
// called at a clean exit and whenever the rates are no longer true. The file of
// another agent, which may still be running, is left alone.
func (f *CSVFile) Remove() error {
	if !f.written {
		return nil
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the old rates: %w", err)
	}
	f.written = false
	return nil
}

// RemoveStale removes what a killed agent has left behind: its last rates and
// its temporary file. It removes only regular files that belong to the calling
// user.
func (f *CSVFile) RemoveStale() error {
	var failed []error
	for _, path := range []string{f.path, temporaryName(f.path)} {
		if !isOwnFile(path) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, fmt.Errorf("removing a file that a killed agent left behind: %w", err))
		}
	}
	return errors.Join(failed...)
}

// replaceFile atomically replaces the file at path with a new one that has the
// content and the mode. If it fails, it changes nothing.
//
// The directory may be writable for everyone, as /tmp is. The content therefore
// goes to a new file: O_EXCL never opens a file or symbolic link that another
// user has put there. Removing and renaming do not follow symbolic links
// either. The mode is set on the open file, since the umask would clear bits.
//
// There is no fsync: rates are worthless after a power cut, and the file is in
// a runtime directory. That is why this is not google/renameio, which syncs at
// every replacement.
func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	temporary := temporaryName(path)
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := os.OpenFile(temporary, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		// An earlier Write could not remove it, or somebody else created it.
		if err = os.Remove(temporary); err == nil {
			file, err = os.OpenFile(temporary, flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary) // the first error is the one to report
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// temporaryName returns the name under which the next content of path is
// written. It is fixed, so that RemoveStale finds it without a search, and in
// the same directory, so that a rename is enough.
func temporaryName(path string) string {
	directory, base := filepath.Split(path)
	return directory + "." + base + ".new"
}

// isOwnFile reports whether path is a regular file of the calling user.
func isOwnFile(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
