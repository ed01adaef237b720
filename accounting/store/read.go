package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ssmonitor/accounting"
)

// Read returns the state that was saved last, taking no lock: it neither waits
// for a process that holds the directory nor keeps one from starting. Notices
// name damaged files; it changes none. It fails with fs.ErrNotExist where
// nothing has been saved, with ErrDamaged where no file is good, and with
// a *NewerError.
func Read(directory string) (accounting.State, []Notice, error) {
	found, err := inspect(directory)
	if err != nil {
		return accounting.State{}, nil, fmt.Errorf("reading the ledger: %w", err)
	}
	newest := found.newest()
	if newest < 0 {
		return accounting.State{}, nil, found.failure(directory)
	}
	var notices []Notice
	for _, one := range found {
		if errors.Is(one.err, ErrDamaged) {
			notices = append(notices, Notice{Text: fmt.Sprintf("%v; the other file is used, at most one save older", one.err)})
		}
	}
	return found[newest].state, notices, nil
}

// inspection is what the two files hold.
type inspection [2]struct {
	content
	err error // nil, ErrDamaged or fs.ErrNotExist
}

// inspect reads both files. It fails where one is newer than this program, or
// can't be opened.
func inspect(directory string) (inspection, error) {
	var found inspection
	for i, name := range fileNames {
		one := &found[i]
		one.content, one.err = inspectFile(filepath.Join(directory, name))
		if one.err != nil && !errors.Is(one.err, ErrDamaged) && !errors.Is(one.err, fs.ErrNotExist) {
			return inspection{}, one.err
		}
	}
	return found, nil
}

func inspectFile(path string) (content, error) {
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return content{}, err
	}
	defer func() { _ = file.Close() }()
	return verify(file)
}

// newest returns the index of the good file with the higher sequence, -1 where
// none is good.
func (found *inspection) newest() int {
	newest := -1
	for i := range found {
		if found[i].err == nil && (newest < 0 || found[i].header.sequence > found[newest].header.sequence) {
			newest = i
		}
	}
	return newest
}

// failure says why neither file is good.
func (found *inspection) failure(directory string) error {
	first, second := found[0].err, found[1].err
	switch {
	case !errors.Is(first, ErrDamaged) && !errors.Is(second, ErrDamaged):
		return fmt.Errorf("nothing has been saved in %s yet: %w", directory, first)
	case !errors.Is(second, ErrDamaged):
		return fmt.Errorf("reading the ledger: %w", first)
	case !errors.Is(first, ErrDamaged):
		return fmt.Errorf("reading the ledger: %w", second)
	}
	return fmt.Errorf("reading the ledger: %w; %w", first, second)
}

// sequence returns that of the newest good file, 0 where none is good.
func (found *inspection) sequence() uint64 {
	if newest := found.newest(); newest >= 0 {
		return found[newest].header.sequence
	}
	return 0
}

// setDamagedAside renames the damaged files and says so. What can't be renamed
// now is when its place is needed.
func (s *Store) setDamagedAside(found inspection) []Notice {
	lost := found.newest() < 0
	outcome := "the other file is used, at most one save older"
	if lost {
		outcome = "no good file is left: the totals begin anew"
	}
	var notices []Notice
	for i, name := range fileNames {
		if !errors.Is(found[i].err, ErrDamaged) {
			continue
		}
		kept := "it will be set aside at the next save"
		if s.lock != nil {
			if aside, err := setAside(filepath.Join(s.directory, name), s.now()); err != nil {
				kept = err.Error()
			} else {
				kept = "it is kept as " + aside
			}
		}
		notices = append(notices, Notice{Text: fmt.Sprintf("%v; %s; %s", found[i].err, kept, outcome), Lost: lost})
	}
	if len(notices) == 0 || s.lock == nil {
		return notices
	}
	dropped, err := dropOldest(s.directory)
	if err != nil {
		notices = append(notices, Notice{Text: fmt.Sprintf("removing the oldest damaged files: %v", err)})
	}
	if len(dropped) > 0 {
		notices = append(notices, Notice{Text: fmt.Sprintf("more than %d damaged files were kept in %s: removed %s",
			maxSetAside, s.directory, strings.Join(dropped, ", "))})
	}
	return notices
}
