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

// Inputs are the places where values of some keys are given. Each place precedes the next
// one: flags, the environment, the settings file, the defaults.
type Inputs struct {
	Keys  []Key
	Flags map[string][]string // by the names of the keys, in the order of the command line
	// Environment returns a variable.
	Environment func(string) (string, bool)
	// File is the settings file; empty: DefaultFile if it exists; NoFile: none.
	File string
	// IgnoredInFile are keys that have no effect in the file.
	IgnoredInFile []string
}

// GivenAtStart reports whether a flag or a variable gives a value of the key.
func (in Inputs) GivenAtStart(key string) bool {
	_, given := in.Flags[key]
	if !given {
		_, given = in.variable(find(in.Keys, key))
	}
	return given
}

// FilePath returns the path of the settings file, or "" if there is none to read.
func (in Inputs) FilePath() string {
	switch in.File {
	case NoFile:
		return ""
	case "":
		return DefaultFile
	}
	return in.File
}

// Load reads the values that are in force. The error says which flag, variable or line of
// the file is wrong, and what was expected; it is a [failure.WrongError], and fs.ErrNotExist if
// the settings file that is named does not exist.
func (in Inputs) Load() (*Settings, error) {
	loaded, err := in.load()
	return loaded, failure.Wrong(err)
}

func (in Inputs) load() (*Settings, error) {
	inFile, err := in.read()
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	loaded := &Settings{given: make(map[string]bool)}
	for i := range in.Keys {
		key := &in.Keys[i]
		values, given := in.Flags[key.Name]
		where := ""
		if !given {
			values, given = in.variable(key)
			where = key.Variable() + ": "
		}
		if entry, found := inFile[key.Name]; found && !given && !slices.Contains(in.IgnoredInFile, key.Name) {
			if err := key.parse(key, loaded, entry.values); err != nil {
				return nil, fmt.Errorf("reading the settings: %s: line %d, column %d: key %s: want %s", in.FilePath(), entry.line, entry.column, key.Name, fault(err))
			}
			loaded.given[key.Name] = true
			continue
		}
		if !given {
			values, where = key.defaults(), ""
		}
		if err := key.parse(key, loaded, values); err != nil {
			return nil, fmt.Errorf("%s%w", where, err)
		}
		loaded.given[key.Name] = given
	}
	loaded.setClients(in)
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
func (in Inputs) variable(key *Key) (values []string, given bool) {
	if key == nil || in.Environment == nil {
		return nil, false
	}
	value, given := in.Environment(key.Variable())
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
func (in Inputs) read() (map[string]entry, error) {
	path := in.FilePath()
	if path == "" {
		return nil, nil
	}
	content, err := configfile.Read(path, safeyaml.MaxSize)
	if in.File == "" && errors.Is(err, fs.ErrNotExist) {
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
