package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Volatile is a file that is replaced once per interval. A reader sees one
// whole content, never a part of one. It is used by one goroutine, and by one
// agent at a time.
type Volatile struct {
	Path    string
	written bool // the file at path was written by this Volatile
}

// Replace replaces the content as [Write] does, but without a sync: the content is
// worthless after a power cut.
func (f *Volatile) Replace(content []byte) error {
	if err := writeNamed(f.Path, content, 0o644, (*os.File).Close); err != nil {
		return err
	}
	f.written = true
	return nil
}

// Remove removes the file if it was written and still exists. It is called at a
// clean exit and whenever the content is no longer true. The file of
// another agent, which may still be running, is left alone.
func (f *Volatile) Remove() error {
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
func (f *Volatile) RemoveStale() error {
	var failed []error
	for _, path := range []string{f.Path, temporaryName(f.Path)} {
		if info, err := os.Lstat(path); err != nil || !isOwn(info) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, fmt.Errorf("removing a file that a killed agent left behind: %w", err))
		}
	}
	return errors.Join(failed...)
}
