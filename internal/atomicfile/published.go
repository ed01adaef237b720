package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Published is a file that is replaced once per interval. A reader sees one
// whole content, never a part of one. It is used by one goroutine, and by one
// agent at a time: a second one would write to the same temporary file.
type Published struct {
	Path    string
	written bool // the file at path was written by this publishedFile
}

// Replace replaces the content.
func (f *Published) Replace(content []byte) error {
	if err := replaceFile(f.Path, content, 0o644); err != nil {
		return err
	}
	f.written = true
	return nil
}

// Remove removes the file if it was written and still exists. It is called at a
// clean exit and whenever the content is no longer true. The file of
// another agent, which may still be running, is left alone.
func (f *Published) Remove() error {
	if !f.written {
		return nil
	}
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing what was published: %w", err)
	}
	f.written = false
	return nil
}

// RemoveStale removes what a killed agent has left behind: its last content
// and its temporary file. It removes only regular files that belong to the calling
// user.
func (f *Published) RemoveStale() error {
	var failed []error
	for _, path := range []string{f.Path, TemporaryName(f.Path)} {
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
// There is no fsync: the content is worthless after a power cut. That is why this
// is not google/renameio, which syncs at every replacement.
func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	temporary := TemporaryName(path)
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

// TemporaryName returns the name under which the next content of path is
// written. It is fixed, so that RemoveStale finds it without a search, and in
// the same directory, so that a rename is enough.
func TemporaryName(path string) string {
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
