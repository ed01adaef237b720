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
	// IgnoredInFile are keys that have no effect in the file, not even by a mistake: that is
	// for Settings.Ignored.
	IgnoredInFile []string
}

// GivenAtStart reports whether a flag or a variable gives a value of the key.
func (in Inputs) GivenAtStart(key string) bool {
	found := find(in.Keys, key)
	if found == nil {
		return false
	}
	given, err := in.atStart(found)
	return err == nil && given.values != nil
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

// Load reads the values that are in force. The error says which flag, variable or lines of
// the file are wrong, and what was expected; it is a [failure.WrongError], and
// fs.ErrNotExist if the settings file that is named does not exist. If only the file is
// wrong, the settings are those without the keys that are, and of a file that can't be
// read those without the file; else they are nil.
func (in Inputs) Load() (*Settings, error) {
	loaded, err := in.load()
	return loaded, failure.Wrong(err)
}

func (in Inputs) load() (*Settings, error) {
	file, fileErr := in.read()
	if errors.Is(fileErr, fs.ErrNotExist) {
		return nil, fileErr
	}
	loaded := &Settings{origins: make(map[string]Origin), Ignored: Ignored{Values: make(map[string][]string)}}
	for _, name := range in.IgnoredInFile {
		if values := file.values[name]; values != nil {
			loaded.Ignored.Values[name] = values
		}
	}
	if mistakes, ok := errors.AsType[*FileError](fileErr); ok {
		ignored := func(m Mistake) bool { return slices.Contains(in.IgnoredInFile, m.Key) }
		loaded.Ignored.Err = mistakes.only(ignored)
		fileErr = mistakes.only(func(m Mistake) bool { return !ignored(m) })
	}
	for _, note := range file.notes {
		loaded.Notes = append(loaded.Notes, in.FilePath()+": "+note)
	}
	for i := range in.Keys {
		key := &in.Keys[i]
		given, err := in.atStart(key)
		if err != nil {
			return nil, err
		}
		from := FromStart
		if given.values == nil && !slices.Contains(in.IgnoredInFile, key.Name) {
			from, given.values = FromFile, file.values[key.Name]
		}
		if given.values == nil {
			from, given.values = FromDefault, key.defaults()
		}
		if err := key.parse(key, loaded, given.values); err != nil {
			return nil, given.wrong(err)
		}
		if given.former {
			loaded.Notes = append(loaded.Notes, fmt.Sprintf("%s is now called %s", given.written(key.Former), given.written(key.Name)))
		}
		if from != FromDefault || !slices.Contains(in.IgnoredInFile, key.Name) {
			loaded.origins[key.Name] = Origin{from, given.values}
		}
	}
	loaded.setClients(in)
	return loaded, fileErr
}

// Origin is what a key was given, as users write it, and where.
type Origin struct {
	From   From
	Values []string
}

// From is a place of settings.
type From int

// The places of settings.
const (
	FromDefault From = iota
	FromFile
	FromStart // a flag or a variable
)

func (k *Key) defaults() []string {
	switch {
	case k.Repeatable:
		return nil
	case k.Switch:
		return []string{"false"}
	}
	return []string{k.Default}
}

// startValues are what the command line or the environment gives a key.
type startValues struct {
	values   []string // nil: none
	former   bool     // under the former name
	split    bool     // at commas
	variable string   // empty: a flag gives it
}

// written returns how a name is written there.
func (v startValues) written(name string) string {
	if v.variable == "" {
		return "--" + name
	}
	return variableOf(name)
}

// wrong returns the error for the values.
func (v startValues) wrong(err error) error {
	switch {
	case v.variable == "":
		return err
	case v.split:
		return fmt.Errorf("%s: %w (commas separate the values of a variable of one line; if a value has a comma, write each in a line of its own)", v.variable, err)
	}
	return fmt.Errorf("%s: %w", v.variable, err)
}

// atStart returns what a flag gives, or else a variable.
func (in Inputs) atStart(key *Key) (startValues, error) {
	for _, place := range []func(*Key, string) startValues{in.flag, in.variable} {
		current := place(key, key.Name)
		if key.Former != "" {
			former := place(key, key.Former)
			switch former.former = true; {
			case former.values == nil:
			case current.values != nil:
				return startValues{}, fmt.Errorf("%s and %s are the same setting: give only %[1]s", current.written(key.Name), current.written(key.Former))
			default:
				current = former
			}
		}
		if current.values != nil {
			return current, nil
		}
	}
	return startValues{}, nil
}

func (in Inputs) flag(_ *Key, name string) startValues { return startValues{values: in.Flags[name]} }

// variable returns the values of a key's variable. That of a repeatable key, which can't
// be repeated, has one in each line, or is split at commas if it is a single line.
func (in Inputs) variable(key *Key, name string) startValues {
	if in.Environment == nil {
		return startValues{}
	}
	value, found := in.Environment(variableOf(name))
	from := startValues{variable: variableOf(name)}
	switch {
	case !found:
	case !key.Repeatable:
		from.values = []string{value}
	default:
		separator := ","
		if strings.Contains(value, "\n") {
			separator, value = "\n", strings.Trim(value, "\n")
		}
		for part := range strings.SplitSeq(value, separator) {
			from.values = append(from.values, strings.TrimSpace(part))
		}
		from.split = separator == "," && len(from.values) > 1
	}
	return from
}

// read reads the settings file. The error is a *FileError, or why the file can't be read.
func (in Inputs) read() (*fileReader, error) {
	path := in.FilePath()
	if path == "" {
		return &fileReader{}, nil
	}
	content, err := configfile.Read(path, safeyaml.MaxSize)
	if in.File == "" && errors.Is(err, fs.ErrNotExist) {
		return &fileReader{}, nil
	}
	if err != nil {
		return &fileReader{}, fmt.Errorf(Reading+"%w", err)
	}
	file := readFile(content)
	if len(file.mistakes) > 0 {
		return file, &FileError{path, file.mistakes}
	}
	return file, nil
}
