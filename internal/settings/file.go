package settings

import (
	"errors"
	"fmt"
	"strings"

	"ssmonitor/internal/safeyaml"
)

// Reading begins every error from reading a settings file.
const Reading = "reading the settings: "

// FileError is all that is wrong in a settings file.
type FileError struct {
	Path     string
	Mistakes []Mistake // in the order of the file
}

// Mistake is one thing that is wrong in a settings file.
type Mistake struct {
	Key   string // whose value is wrong; empty: something else is
	Cause *safeyaml.Error
}

// Error names the file and every mistake, one per line.
func (e *FileError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns an error for each mistake.
func (e *FileError) Unwrap() (list []error) {
	for _, mistake := range e.Mistakes {
		list = append(list, e.Wrap(mistake))
	}
	return list
}

// Wrap returns one of the mistakes as an error that names the file.
func (e *FileError) Wrap(mistake Mistake) error {
	return fmt.Errorf(Reading+"%s: %w", e.Path, mistake.Cause)
}

// only returns the error with the mistakes that are wanted, nil if there is none.
func (e *FileError) only(wanted func(Mistake) bool) error {
	var mistakes []Mistake
	for _, mistake := range e.Mistakes {
		if wanted(mistake) {
			mistakes = append(mistakes, mistake)
		}
	}
	if len(mistakes) == 0 {
		return nil
	}
	return &FileError{e.Path, mistakes}
}

// fileReader reads the pairs of a settings file.
type fileReader struct {
	keys     []Key
	values   map[string][]string // of the keys that are right, as the command line would give them
	lines    map[string]int      // of the keys that were read
	notes    []string
	mistakes []Mistake
}

// readFile reads a settings file with the keys of every command: one that no command
// knows is a mistake, and so is a wrong value, whoever uses it.
func readFile(content []byte) *fileReader {
	r := &fileReader{keys: All(), values: make(map[string][]string), lines: make(map[string]int)}
	err := safeyaml.Read(content, func(root safeyaml.Node) error {
		pairs, ok := root.Pairs()
		if !ok && !root.IsNull() {
			return root.WrongKind("keys with values, as in interval: 5s")
		}
		for _, pair := range pairs {
			key, mistake := r.read(pair)
			r.note(key, mistake)
		}
		return nil
	})
	if errors.Is(err, safeyaml.ErrTooLarge) {
		err = &safeyaml.Error{Line: 1, Column: 1, Reason: err.Error()}
	}
	if mistake, ok := errors.AsType[*safeyaml.Error](err); ok {
		r.note("", mistake)
	}
	return r
}

func (r *fileReader) note(key string, mistake *safeyaml.Error) {
	if mistake != nil {
		r.mistakes = append(r.mistakes, Mistake{key, mistake})
	}
}

// read reads a key with its value. It returns the name of the key, if that is known.
func (r *fileReader) read(pair safeyaml.Pair) (name string, mistake *safeyaml.Error) {
	key := find(r.keys, pair.Key())
	if key == nil {
		return "", pair.Unknown(names(r.keys))
	}
	line, _ := pair.Position()
	if other, twice := r.lines[key.Name]; twice {
		return key.Name, pair.WrongKey(fmt.Sprintf("key %s: line %d has it under its other name: remove %s", pair.Key(), other, key.Former))
	}
	r.lines[key.Name] = line
	if pair.Key() == key.Former {
		r.notes = append(r.notes, fmt.Sprintf("line %d: the key %s is now called %s", line, key.Former, key.Name))
	}
	if pair.Value.IsNull() {
		return key.Name, nil
	}
	values, mistake := key.read(pair.Value)
	if mistake != nil {
		mistake.Reason = "key " + pair.Key() + ": " + mistake.Reason
		if pair.Key() == key.Former {
			mistake.Reason += ": " + key.notFormer
		}
		return key.Name, mistake
	}
	r.values[key.Name] = values
	return key.Name, nil
}

// read returns the values of a key as the command line would give them.
func (k *Key) read(node safeyaml.Node) (values []string, mistake *safeyaml.Error) {
	if pairs, ok := node.Pairs(); ok && k.perClient != nil {
		for _, pair := range pairs {
			value, ok := pair.Value.Scalar()
			if !ok {
				return nil, pair.Value.WrongKind(k.perClient.thing)
			}
			if values, mistake = k.add(values, pair.Key()+"="+value, pair.Value); mistake != nil {
				return nil, mistake
			}
		}
		return values, nil
	}
	items := []safeyaml.Node{node}
	if k.Repeatable {
		items = node.Items()
	}
	for _, item := range items {
		value, ok := item.Scalar()
		if !ok || k.Switch && !item.IsBool() {
			return nil, item.WrongKind(k.shape())
		}
		if values, mistake = k.add(values, value, item); mistake != nil {
			return nil, mistake
		}
	}
	return values, nil
}

// add appends a value, which stands at a node, unless the key can't have it.
func (k *Key) add(values []string, value string, node safeyaml.Node) ([]string, *safeyaml.Error) {
	values = append(values, value)
	if err := k.parse(k, new(Settings), values); err != nil {
		return nil, node.WrongKind(fault(err))
	}
	return values, nil
}

// shape describes what the key may have in the file.
func (k *Key) shape() string {
	switch {
	case k.Switch:
		return "true or false"
	case k.perClient != nil:
		return fmt.Sprintf("%[1]s, a list of %[2]s, or a map of clients and %[2]s, as in {%[3]s}",
			k.perClient.thing, strings.TrimPrefix(k.perClient.thing, "a ")+"s", k.perClient.example)
	case k.Repeatable:
		return "a text, or a list of texts"
	}
	return "one value"
}
