package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ssmonitor/internal/configfile"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/safeyaml"
)

// Sheet are the places where values of some keys are given. Each place precedes the next
// one: flags, the environment, the settings file, the defaults.
type Sheet struct {
	Keys  []Key
	Flags map[string][]string // by the names of the keys, in the order of the command line
	// Lookup returns a variable of the environment.
	Lookup func(string) (string, bool)
	// File is the settings file; empty: DefaultFile if it exists; NoFile: none.
	File string
	// Ignore are keys that have no effect in the file.
	Ignore []string
}

// Names reports whether a flag or a variable gives a value of the key.
func (s Sheet) Names(key string) bool {
	_, given := s.Flags[key]
	if !given {
		_, given = s.variable(find(s.Keys, key))
	}
	return given
}

// FilePath returns the path of the settings file, or "" if there is none to read.
func (s Sheet) FilePath() string {
	switch s.File {
	case NoFile:
		return ""
	case "":
		return DefaultFile
	}
	return s.File
}

// Load reads the values that are in force. The error says which flag, variable or line of
// the file is wrong, and what was expected; it is a [failure.WrongError], and fs.ErrNotExist if
// the settings file that is named does not exist.
func (s Sheet) Load() (*Settings, error) {
	loaded, err := s.load()
	return loaded, failure.Wrong(err)
}

func (s Sheet) load() (*Settings, error) {
	inFile, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	loaded := &Settings{given: make(map[string]bool)}
	for i := range s.Keys {
		key := &s.Keys[i]
		values, given := s.Flags[key.Name]
		where := ""
		if !given {
			values, given = s.variable(key)
			where = key.Variable() + ": "
		}
		if entry, found := inFile[key.Name]; found && !given && !slices.Contains(s.Ignore, key.Name) {
			if err := key.parse(loaded, entry.values); err != nil {
				return nil, fmt.Errorf("reading the settings: %s: line %d, column %d: key %s: want %s", s.FilePath(), entry.line, entry.column, key.Name, fault(err))
			}
			loaded.given[key.Name] = true
			continue
		}
		if !given {
			values, where = key.defaults(), ""
		}
		if err := key.parse(loaded, values); err != nil {
			return nil, fmt.Errorf("%s%w", where, err)
		}
		loaded.given[key.Name] = given
	}
	return loaded, nil
}

func (k *Key) defaults() []string {
	switch {
	case k.Repeatable:
		return nil
	case k.Switch:
		return []string{"false"}
	}
	return []string{k.Default}
}

// variable returns the values of a key's variable. That of a repeatable key, which can't
// be repeated, is split at commas.
func (s Sheet) variable(key *Key) (values []string, given bool) {
	if key == nil || s.Lookup == nil {
		return nil, false
	}
	value, given := s.Lookup(key.Variable())
	switch {
	case !given:
		return nil, false
	case !key.Repeatable:
		return []string{value}, true
	}
	for part := range strings.SplitSeq(value, ",") {
		values = append(values, strings.TrimSpace(part))
	}
	return values, true
}

// read returns the entries of the settings file.
func (s Sheet) read() (map[string]entry, error) {
	path := s.FilePath()
	if path == "" {
		return nil, nil
	}
	content, err := configfile.Read(path, safeyaml.MaxSize)
	if s.File == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := entriesOf(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}
