// Package configfile reads configuration files: regular files of a limited
// size. A path that leads to anything else is refused without blocking.
package configfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Errors of [Read], for errors.Is.
var (
	ErrNotRegular = errors.New("want a regular file")
	ErrTooLarge   = errors.New("the file is too large")
)

// Read returns the content of the regular file at path, following symbolic
// links. It fails with ErrNotRegular for a directory, a FIFO, a socket or a
// device, and with ErrTooLarge for a file of more than limit bytes, without
// reading it. Other errors are those of the operating system. Every error names
// the path, and no error shows content.
func Read(path string, limit int64) ([]byte, error) {
	// Opening a device can have side effects, so check before opening.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := check(path, info, limit); err != nil {
		return nil, err
	}
	// The path may lead elsewhere by now: without O_NONBLOCK the opening of a
	// FIFO would wait for a writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if err := check(path, info, limit); err != nil {
		return nil, err
	}
	return readAll(path, file, limit)
}

// readAll enforces the limit for a file that grows meanwhile or that reports no
// size, as those in /proc do.
func readAll(path string, file io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(path, limit)
	}
	return data, nil
}

func check(path string, info fs.FileInfo, limit int64) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is %s: %w", path, kind(info.Mode()), ErrNotRegular)
	}
	if info.Size() > limit {
		return tooLarge(path, limit)
	}
	return nil
}

func tooLarge(path string, limit int64) error {
	return fmt.Errorf("%s: %w: want at most %d bytes", path, ErrTooLarge, limit)
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}
