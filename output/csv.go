package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ssmonitor/accounting"
)

// AppendCSV appends the rates of a report to dst, one line a port, and returns
// the extended slice:
//
//	20000,12.500,14.000,1834.221,98211.007
//
// is port, packets in, packets out, bytes in and bytes out, each per second,
// TCP and UDP together. A port whose rates are not known is left out. Once dst
// is large enough nothing is allocated.
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
			dst = strconv.AppendFloat(dst, rate, 'f', 3, 64)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// CSVFile is the file that the CSV is published in. Whoever reads it sees one
// whole report, never a part of one. It is used by one goroutine.
type CSVFile struct {
	path    string
	buffer  []byte
	written bool // what is at path is this one's
}

// NewCSVFile returns the file of that path and touches nothing yet. Call Clean
// once it is certain that no other agent runs.
func NewCSVFile(path string) *CSVFile {
	return &CSVFile{path: path}
}

// Write replaces the file with the rates of the report. A report that knows no
// rates yet (its Interval is 0) removes the file: no reading, no number. After
// an error the file is what it was before.
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

// Remove removes what Write has written, if it is still there: at a clean exit,
// and whenever what it says is no longer true. The file of another agent, which
// may be the one that runs, stays.
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

// Clean removes what an agent that was killed has left: its last rates and
// temporary files. It touches regular files of the calling user only.
func (f *CSVFile) Clean() error {
	directory, base := filepath.Split(f.path)
	entries, err := os.ReadDir(filepath.Clean(directory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was left; that nothing can be written is said by Write
	}
	if err != nil {
		return fmt.Errorf("looking for files that a killed agent left: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		if entry.Name() != base && !isTemporary(entry.Name(), base) || !isOwnFile(entry) {
			continue
		}
		err := os.Remove(filepath.Join(directory, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, fmt.Errorf("removing what a killed agent left: %w", err))
		}
	}
	return errors.Join(failed...)
}

// replaceFile puts a new file of that content and mode in the place of path, or
// fails and changes nothing.
//
// The directory may be one that everybody writes to, /tmp. So the content goes
// to a new file of a random name: os.CreateTemp opens it with O_EXCL, by which
// a file or symbolic link that another user put there is never opened, and the
// rename replaces what is at path, a symbolic link included, without following
// it. The mode is set on the open file, since umask would take bits away.
//
// There is no fsync: after a power cut rates are worthless, and the file lives
// in a runtime directory. That is also why this is not google/renameio, which
// syncs at every replacement, and which has no way to find leftovers again.
func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	directory, base := filepath.Split(path)
	file, err := os.CreateTemp(filepath.Clean(directory), "."+base+".*"+temporarySuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // The first error says what is wrong.
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

const temporarySuffix = ".tmp"

// isTemporary tells whether replaceFile could have named a file so, for the
// path with that base.
func isTemporary(name, base string) bool {
	random, found := strings.CutPrefix(name, "."+base+".")
	if !found {
		return false
	}
	random, found = strings.CutSuffix(random, temporarySuffix)
	return found && random != "" && strings.Trim(random, "0123456789") == ""
}

// isOwnFile tells whether the entry is a regular file of the calling user.
func isOwnFile(entry fs.DirEntry) bool {
	info, err := entry.Info()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(status.Uid) == os.Geteuid()
}
